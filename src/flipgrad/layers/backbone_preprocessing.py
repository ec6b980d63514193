"""The scaling that a backbone expects."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from flipgrad._registration import registered


@registered
class BackbonePreprocessing(keras.layers.Layer):
    """The scaling that a model of ``keras.applications`` was trained with, from pixels 0 to 255.

    Args:
        backbone: its name, such as ``"ResNet50"``.

    Input and output shape: ``(rows, height, width, 3)``.
    """

    def __init__(self, backbone: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backbone = backbone

    def call(self, inputs: Any) -> Any:
        for module in vars(keras.applications).values():
            if hasattr(module, "preprocess_input") and hasattr(module, self.backbone):
                return module.preprocess_input(ops.cast(inputs, self.compute_dtype))
        return inputs  # MobileNetV3 and its kin scale by themselves

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "backbone": self.backbone}
