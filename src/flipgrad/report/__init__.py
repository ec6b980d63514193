"""One page of a run to look at: ``report.html``, self-contained, in English or Chinese."""

from flipgrad.report.page import LANGUAGES, write

__all__ = ["LANGUAGES", "write"]
