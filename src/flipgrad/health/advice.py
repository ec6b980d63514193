"""What each verdict means, and what to do about it."""

from __future__ import annotations

# name -> (meaning, advice)
EXPLAINED = {
    "diverged": (
        "The loss, a weight or a feature is NaN or infinite: there is no model.",
        "Lower the learning rate or the strength; with mixed precision try float32.",
    ),
    "features collapsed": (
        "The encoder gives nearly the same for every row, or the classifier one class for all: the domains cannot be "
        "told apart because nothing can.",
        "Lower the strength or the learning rate, and keep the back-off on.",
    ),
    "discriminator dead": (
        "The discriminator says the same of every row, so that no gradient comes from it: nothing was adapted.",
        "Look at how it ends: it must give one or two logits, with no softmax or sigmoid, and be trainable.",
    ),
    "discriminator too weak": (
        "The discriminator is at chance, but not because the domains have merged: a fresh one of the same shape tells "
        "them apart. The encoder was hardly pushed.",
        "Give it more units, train longer, or raise its share of the learning: its loss is about 0.69 from the start.",
    ),
    "discriminator won": (
        "The discriminator is hardly ever wrong: the encoder did not follow it, and the domains lie apart.",
        "Raise the strength or train longer; if that does not help, give the encoder more freedom.",
    ),
    "partly aligned": (
        "The domains can still be told apart: by the discriminator of the training, by a fresh one, or by both; "
        "the accuracies say by which (far below 0.5, or with a loss far above 0.69, the first has been overtaken by "
        "the encoder). That is usual, of runs that work well too. It does not say that the predictions on the target "
        "are right.",
        "Compare with source-only training; label a small sample of the target to be sure.",
    ),
    "aligned": (
        "Neither the discriminator nor a fresh one tells the domains apart by the features. Aligned is not accurate: "
        "classes can lie on the wrong ones.",
        "Label a small sample of the target and give it to flipgrad evaluate.",
    ),
    "source forgotten": (
        "Source accuracy has fallen well below what source training reaches: the price of adapting was the classes "
        "themselves.",
        "Lower the strength, or keep an earlier epoch (LabelFreeCheckpoint).",
    ),
    "label shift": (
        "By the predictions, the classes have other frequencies in the target than in the source. Either they do, and "
        "alignment, which cannot know it, pulls target rows into the wrong classes; or the model errs on the target in "
        "ways that it does not on the source.",
        "Label a few target rows before you trust it; where the frequencies differ, sample the source like the target.",
    ),
    "negative transfer suspected": (
        "By what can be seen without labels, the predictions on the target are no better than those of source-only "
        "training.",
        "Use the source-only model, or lower the strength; a few labelled target rows would decide.",
    ),
    "likely better than source-only": (
        "By what can be seen without labels, the predictions on the target are better than those of source-only "
        "training. That is likely, not certain.",
        "Use this model rather than the source-only one; a few labelled target rows would prove it.",
    ),
    "nothing to adapt": (
        "The raw rows of the two domains cannot be told apart: there is no shift to undo.",
        "Plain source training will do.",
    ),
    "too few rows to tell": (
        "There are too few held-out rows of a domain to hold the two against each other.",
        "Train on more rows: a tenth of them is held out.",
    ),
}
