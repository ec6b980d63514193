"""TensorBoard reads what is written for it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flipgrad import event_files, recording
from flipgrad.errors import InputError
from flipgrad.runs import Run

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    with Run.create(tmp_path / "run", {"settings": {}}) as made:
        made.add_history("dann", 0, {"loss": [2.0, None, 0.5], "domain_accuracy": [0.9, 0.7, 0.6]})
        (made.path / "figures").mkdir()
        Image.new("RGB", (20, 10), "red").save(made.path / "figures" / "curves.png")
        x = random.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
        ids = np.array([f"a\tb\n{row}" for row in range(9)])
        inputs = recording.Inputs(x, np.arange(9) % 2, ids, x[:5], ids[:5], np.array(["cat", "dog"]))
        recording.write(made.observation_path("inputs"), inputs)
        features, logits = random.normal(size=(2, 9, 4)), random.normal(size=(2, 9, 2))
        movie = recording.Recording(np.array([0, 3]), features, features[:, :5], logits, logits[:, :5])
        recording.write(made.observation_path("dann-0"), movie)
    return tmp_path / "run"


def test_scalars_and_figures(run: Path) -> None:
    for _ in range(2):  # a second writing takes the place of the first
        folder = event_files.write(run)
    read = accumulator.EventAccumulator(str(folder / "dann-0"))
    read.Reload()
    assert {tag: [(e.step, round(e.value, 5)) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]} == {
        "loss": [(1, 2.0), (3, 0.5)],
        "domain_accuracy": [(1, 0.9), (2, 0.7), (3, 0.6)],
    }
    figures = accumulator.EventAccumulator(str(folder / "figures"))
    figures.Reload()
    (image,) = figures.Images("curves")
    assert (image.width, image.height) == (20, 10)
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_projector(run: Path) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    folder = event_files.write(run)
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    assert list(embedding.tensor_shape) == [14, 4]
    values = np.frombuffer((folder / embedding.tensor_path).read_bytes(), "<f4").reshape(14, 4)
    movie = recording.read(run / "observations" / "dann-0.npz", recording.Recording)
    np.testing.assert_allclose(values[:9], movie.source_features[-1], rtol=1e-6)
    lines = (folder / embedding.metadata_path).read_text().splitlines()
    assert lines[0].split("\t") == ["domain", "class", "predicted", "id"]
    assert len(lines) == 15
    assert {len(line.split("\t")) for line in lines} == {4}
    assert lines[1].split("\t")[1] == "cat"
    with Image.open(folder / embedding.sprite.image_path) as sprite:
        assert sprite.size == (4 * 8, 4 * 8)  # rows and columns for 14 images
    assert list(embedding.sprite.single_image_dim) == [8, 8]


def test_without_observations_there_are_scalars(run: Path) -> None:
    (run / "observations" / "inputs.npz").unlink()
    folder = event_files.write(run)
    assert (folder / "dann-0").is_dir()
    assert not (folder / "projector_config.pbtxt").exists()
    (run / "config.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="not a run"):
        event_files.write(run)


def test_a_figure_that_is_none_is_left_out(run: Path) -> None:
    (run / "figures" / "zz.png").write_bytes(b"no picture")
    figures = accumulator.EventAccumulator(str(event_files.write(run) / "figures"))
    figures.Reload()
    assert figures.Tags()["images"] == ["curves"]


def test_nothing_is_written_outside_of_the_run(run: Path) -> None:
    history = run / "history.csv"
    history.write_text(history.read_text().replace("dann,", "../../out,"))
    event_files.write(run)
    assert not (run.parent / "out-0").exists()
    assert sorted(path.name for path in (run / "tensorboard").iterdir() if path.is_dir()) == ["figures"]
    with pytest.raises(InputError, match=r"history\.csv: not a history .*the name of a mode"):
        _ = Run.open(run).histories
