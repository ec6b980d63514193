"""Figures: each function returns a Matplotlib ``Figure`` and changes no global state.

The figures belong to no window and no pyplot list: save them with ``figure.savefig(path)`` or
``Run.save_figure``; in a notebook run ``%matplotlib inline`` once and they show themselves.
"""

from flipgrad.plots.confusion import confusion_matrix
from flipgrad.plots.curves import curves
from flipgrad.plots.embedding import before_after, embedding, pca, tsne
from flipgrad.plots.image_grid import image_grid
from flipgrad.plots.results import accuracy_bars
from flipgrad.plots.scatter import scatter

__all__ = [
    "accuracy_bars",
    "before_after",
    "confusion_matrix",
    "curves",
    "embedding",
    "image_grid",
    "pca",
    "scatter",
    "tsne",
]
