"""Frames of a training: they change nothing, survive a kill, and are read back without trust."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad import recording
from flipgrad.checkpoint import Checkpoint, restore
from flipgrad.errors import InputError
from flipgrad.observation import observe
from flipgrad.recording import Inputs, Recorder, Recording


@pytest.fixture(scope="module")
def held_out() -> Inputs:
    random = np.random.default_rng(1)
    made = recording.sample(
        (random.normal(size=(30, 3)).astype("float32"), random.integers(0, 3, 30)),
        (random.normal(size=(25, 3)).astype("float32") + 1,),
        ["a", "b", "c"],
    )
    assert made is not None
    return made


def trained(tiny: Any, callbacks: list[Any], epochs: int = 6, initial_epoch: int = 0, path: Path | None = None) -> Any:
    """A DANN with dropout and batch normalization, Adam and a decaying rate, after so many epochs."""
    keras.utils.set_random_seed(3)
    encoder = tiny.encoder(layers.BatchNormalization(), layers.Dropout(0.4))
    model = fg.DANN(encoder, tiny.classifier(), tiny.discriminator(), passes="separate")
    model.compile(keras.optimizers.Adam(fg.schedules.InverseDecay(6 * tiny.steps, 0.01)))
    if path:
        initial_epoch, _ = restore(path, model)
    model.fit(tiny.pairs(), epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, verbose=0)
    return model


def test_recording_does_not_change_the_training(tiny: Any, held_out: Inputs, weights_of: Any, tmp_path: Path) -> None:
    plain = trained(tiny, [])
    recorder = Recorder(held_out, tmp_path / "movie.npz", tmp_path / "dann-0")
    recorded = trained(tiny, [recorder])
    for a, b in zip(weights_of(plain), weights_of(recorded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert keras.random.uniform(()) != keras.random.uniform(())  # the global state is alive
    keras.utils.set_random_seed(5)
    before = float(keras.random.uniform(()))
    keras.utils.set_random_seed(5)
    recorder._record(6)
    assert float(keras.random.uniform(())) == before
    assert recorder.seconds > 0


def test_frames_are_what_the_model_makes_of_the_rows(tiny: Any, held_out: Inputs, tmp_path: Path) -> None:
    recorder = Recorder(held_out, tmp_path / "movie.npz", tmp_path / "dann-0", most=4)
    model = trained(tiny, [recorder])
    movie = recording.read(tmp_path / "movie.npz", Recording)
    assert movie.epochs.tolist() == [0, 2, 4, 6]
    assert movie.of(held_out)
    seen = observe(model, (held_out.source_x, held_out.source_y), held_out.target_x)
    last = movie.observation(-1, held_out.source_y)
    for domain in ("source", "target"):
        mine, own = getattr(last, domain), getattr(seen, domain)
        np.testing.assert_array_equal(mine.logits, own.logits)
        np.testing.assert_array_equal(mine.domain_logits, own.domain_logits)
        # Principal components keep every distance.
        distances = [np.linalg.norm(each[:, None] - each[None], axis=2) for each in (mine.features, own.features)]
        np.testing.assert_allclose(*distances, atol=5e-3)
    assert not np.array_equal(movie.source_logits[0], movie.source_logits[-1])
    # The schedules, at the end of each epoch.
    np.testing.assert_allclose(movie.strength, [2 / (1 + np.exp(-10 * p)) - 1 for p in np.linspace(0, 1, 7)], atol=1e-6)
    np.testing.assert_allclose(movie.learning_rate, 0.01 / (1 + 10 * np.linspace(0, 1, 7)) ** 0.75, rtol=1e-5)
    assert len(list(tmp_path.glob("dann-0.frame-*.npz"))) == 4
    recorder.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["movie.npz"]


def test_at_most_twelve_evenly_spaced(held_out: Inputs, tmp_path: Path) -> None:
    recorder = Recorder(held_out, tmp_path / "movie.npz", tmp_path / "dann-0")
    for epochs, expected in ((1, [0, 1]), (5, [0, 1, 2, 3, 4, 5]), (200, 12), (11, 12)):
        recorder.set_params({"epochs": epochs})
        wanted = sorted(recorder._wanted)
        assert wanted == expected or len(wanted) == expected
        assert (wanted[0], wanted[-1]) == (0, epochs)
        assert max(np.diff(wanted)) - min(np.diff(wanted)) <= 1


@pytest.mark.parametrize("killed_after", [1, 4, 6])
def test_a_killed_training_goes_on_with_its_frames(
    tiny: Any, held_out: Inputs, tmp_path: Path, killed_after: int
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch + 1 == killed_after:
                raise KeyboardInterrupt

    def callbacks(folder: Path) -> list[Any]:
        return [Recorder(held_out, folder / "movie.npz", folder / "dann-0"), Checkpoint(folder / "dann-0.npz")]

    trained(tiny, callbacks(whole))
    with pytest.raises(KeyboardInterrupt):
        trained(tiny, [*callbacks(killed), Kill()])
    assert not (killed / "movie.npz").exists()
    trained(tiny, callbacks(killed), path=killed / "dann-0.npz")
    movies = [recording.read(folder / "movie.npz", Recording) for folder in (whole, killed)]
    for name, value in vars(movies[0]).items():
        np.testing.assert_array_equal(getattr(movies[1], name), value, err_msg=name)
    assert len(movies[1].epochs) == 7


def test_the_last_frame_is_of_the_running_mean_of_the_weights(tiny: Any, held_out: Inputs, tmp_path: Path) -> None:
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model = tiny.model(optimizer=optimizer)
    model.fit(tiny.pairs(), epochs=2, callbacks=[Recorder(held_out, tmp_path / "m.npz", tmp_path / "d")], verbose=0)
    movie = recording.read(tmp_path / "m.npz", Recording)
    seen = observe(model, (held_out.source_x, held_out.source_y), held_out.target_x)
    np.testing.assert_array_equal(movie.target_logits[-1], seen.target.logits)


def test_frames_that_are_not_finite_are_left_out(tiny: Any, held_out: Inputs, tmp_path: Path) -> None:
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.classifier.set_weights([w * np.nan for w in self.model.classifier.get_weights()])
                self.model.stop_training = True

    recorder = Recorder(held_out, tmp_path / "m.npz", tmp_path / "d")
    tiny.model().fit(tiny.pairs(), epochs=6, callbacks=[Break(), recorder], verbose=0)
    assert recording.read(tmp_path / "m.npz", Recording).epochs.tolist() == [0, 1]


def test_large_features_do_not_overflow(held_out: Inputs, tiny: Any, tmp_path: Path) -> None:
    encoder = tiny.encoder(layers.Rescaling(1e7))
    model = fg.DANN(encoder, tiny.classifier(), tiny.discriminator())
    model.compile("sgd")
    recorder = Recorder(held_out, tmp_path / "m.npz", tmp_path / "d")
    recorder.set_model(model)
    recorder.set_params({"epochs": 0})
    model.build({"source": (None, 3), "target": (None, 3)})
    recorder.on_epoch_begin(0)
    recorder.on_train_end()
    assert recording.read(tmp_path / "m.npz", Recording).source_features.std() > 1e5


def test_a_sample_is_bounded_and_drawn_with_the_seed() -> None:
    x, y = np.zeros((3000, 2), "float32"), np.arange(3000) % 2
    x[:, 0] = np.arange(3000)
    one, two, other = (recording.sample((x, y), (x,), ["a", "b"], seed=seed) for seed in (0, 0, 1))
    assert one is not None and two is not None and other is not None  # noqa: PT018
    assert one.source_x.shape == one.target_x.shape == (1000, 2)
    np.testing.assert_array_equal(one.source_ids.astype(int), one.source_x[:, 0])
    np.testing.assert_array_equal(one.source_y, one.source_x[:, 0] % 2)
    np.testing.assert_array_equal(one.target_x, two.target_x)
    assert not np.array_equal(one.target_x, other.target_x)
    assert one.target_y is None
    large = np.zeros((50, 1024, 1024), "uint8")  # a megabyte each
    bounded = recording.sample((large, np.zeros(50)), (large,), ["a"])
    assert bounded is not None
    assert len(bounded.target_x) == 30
    assert recording.sample((x[:0], y[:0]), (x,), ["a"]) is None
    assert recording.sample((x, y), (x[:0],), ["a"]) is None


def test_inputs_round_trip(held_out: Inputs, tmp_path: Path) -> None:
    recording.write(tmp_path / "inputs.npz", held_out)
    back = recording.read(tmp_path / "inputs.npz", Inputs)
    for name, value in vars(held_out).items():
        np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"source_y": np.full(30, 3)}, "source_y"),
        ({"source_y": np.zeros(29, int)}, "source_y"),
        ({"source_y": np.zeros(30)}, "source_y"),
        ({"target_y": np.full(25, -1)}, "target_y"),
        ({"target_ids": np.zeros(25)}, "target_ids"),
        ({"target_x": np.zeros((25, 4))}, "target_x"),
        ({"target_x": np.zeros((0, 3))}, "target_x"),
        ({"classes": np.zeros(3)}, "classes"),
        ({"source_x": np.array([object()] * 30)}, "damaged"),
    ],
)
def test_inputs_of_a_stranger_are_checked(
    held_out: Inputs, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    arrays = {name: value for name, value in vars(held_out).items() if value is not None}
    np.savez(tmp_path / "inputs.npz", **{**arrays, **change})
    with pytest.raises(InputError, match=rf"inputs\.npz: .*{expected}"):
        recording.read(tmp_path / "inputs.npz", Inputs)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": np.array([0, 0])}, "epochs"),
        ({"epochs": np.array([-1, 0])}, "epochs"),
        ({"epochs": np.array([], int)}, "epochs"),
        ({"source_features": np.zeros((2, 3, 4))}, "source_logits"),
        ({"source_features": np.full((2, 5, 4), np.nan)}, "finite"),
        ({"source_features": np.zeros((2, 5, 3))}, "one width"),
        ({"target_logits": np.zeros((2, 6, 4))}, "same classes"),
        ({"target_logits": np.zeros((1, 6, 3))}, "target_logits"),
        ({"target_domain_logits": np.zeros((2, 6))}, "both domains"),
        ({"target_logits": np.zeros((2, 6, 3), complex)}, "finite numbers"),
        (None, "not as recorded"),
    ],
)
def test_frames_of_a_stranger_are_checked(tmp_path: Path, change: dict[str, Any] | None, expected: str) -> None:
    good = {
        "epochs": np.array([0, 3]),
        "source_features": np.zeros((2, 5, 4)),
        "target_features": np.zeros((2, 6, 4)),
        "source_logits": np.zeros((2, 5, 3)),
        "target_logits": np.zeros((2, 6, 3)),
    }
    np.savez(tmp_path / "dann-0.npz", **good)
    assert recording.read(tmp_path / "dann-0.npz", Recording).epochs.tolist() == [0, 3]
    np.savez(tmp_path / "dann-0.npz", **({"epochs": np.arange(2)} if change is None else {**good, **change}))
    with pytest.raises(InputError, match=rf"dann-0\.npz: .*{expected}"):
        recording.read(tmp_path / "dann-0.npz", Recording)
