"""How measures, scores and logged numbers are called on the page in English, and their units."""

from __future__ import annotations

NAMES = {
    "accuracy": "accuracy", "loss": "loss", "classification_loss": "classification loss", "domain_loss": "domain loss",
    "domain_accuracy": "domain accuracy", "learning_rate": "learning rate", "strength": "strength",
    "merged": "target rows among the neighbours of source rows", "back_offs": "back-offs",
    "source_accuracy": "source accuracy", "source_peak": "best source accuracy so far",
    "best_source_accuracy": "best source accuracy", "target_labelled_accuracy": "accuracy on labelled target rows",
    "target_recall": "accuracy on the target by class", "chosen_epoch": "chosen epoch", "diverged": "diverged at step",
    "online_accuracy": "accuracy of the own discriminator", "online_loss": "loss of the own discriminator",
    "online_spread": "spread of the own discriminator's logit", "fresh_accuracy": "accuracy of a fresh discriminator",
    "probe_accuracy": "accuracy of a linear probe", "proxy_a_distance": "proxy A-distance",
    "input_accuracy": "accuracy of boosted trees on raw rows",
    "channel_accuracy": "accuracy of a probe on channel means", "class_gap": "class gap", "dead_units": "dead units",
    "feature_scale": "scale of the features", "feature_spread": "spread of the features",
    "effective_rank": "effective rank", "target_entropy": "entropy of target predictions", "v_measure": "V-measure",
    "ami": "adjusted mutual information", "bnm": "batch nuclear norm (BNM)",
    "information_maximisation": "information maximisation", "entropy": "entropy",
    "corr_c": "class correlation (Corr-C)", "snd": "soft neighbourhood density (SND)", "rank_me": "RankMe",
    "importance_weighted_risk": "importance-weighted risk", "dev": "DEV", "devn": "DEVN", "ensv": "EnsV",
    "source_shares": "source classes by label", "target_shares": "target classes by prediction",
    "target_priors": "target classes as estimated", "prior_divergence": "difference of class priors",
    "chance_divergence": "difference of class priors by chance", "largest_share": "rows of the class predicted most",
    "never_predicted": "classes never predicted", "label_gradient": "classification gradient",
    "domain_gradient": "domain gradient", "gradient_cosine": "cosine of both gradients",
    "push": "reversed gradient by classification gradient", "finite": "finite", "rows": "rows",
}  # fmt: skip

# Of those that have one: the word ``unit_...``.
UNITS = {
    **dict.fromkeys(
        (
            "accuracy", "domain_accuracy", "source_accuracy", "source_peak", "best_source_accuracy",
            "target_labelled_accuracy", "online_accuracy", "fresh_accuracy", "probe_accuracy", "input_accuracy",
            "channel_accuracy", "dead_units", "prior_divergence", "chance_divergence", "largest_share", "merged", "bnm",
            "ensv",
        ),
        "share",
    ),
    **dict.fromkeys(
        (
            "loss", "classification_loss", "domain_loss", "online_loss", "entropy", "information_maximisation", "snd",
            "importance_weighted_risk", "dev",
        ),
        "nats",
    ),
    **dict.fromkeys(("effective_rank", "rank_me"), "dimensions"),
    **dict.fromkeys(
        (
            "strength", "feature_scale", "push", "gradient_cosine", "corr_c", "v_measure", "ami", "proxy_a_distance",
            "devn",
        ),
        "none",
    ),
    "target_entropy": "entropy",
    "class_gap": "class_distance",
    "feature_spread": "scale",
    "learning_rate": "step",
    "back_offs": "count",
    "online_spread": "logit",
}  # fmt: skip
