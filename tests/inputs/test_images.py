"""Folders of images: every kind of file is read right, or named and refused."""

import os
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pytest
from PIL import Image

from flipgrad.errors import InputError
from flipgrad.inputs import images, read_domain, read_domains
from flipgrad.inputs._decoding import ImageRows, decode

RANDOM = np.random.default_rng(0)


def _noise(height=8, width=8, channels=3):
    shape = (height, width, channels) if channels else (height, width)
    return RANDOM.integers(0, 256, shape).astype("uint8")


def _png(pixels):
    return Image.fromarray(pixels)


@pytest.fixture
def pair(make):
    """A source of two classes and a target, 8 x 8 pixels."""
    source = make.images("s", {"cat/1.png": 10, "cat/deep/er/2.png": 20, "dog/1.png": 30})
    return source, make.images("t", {"b.png": 1, "cat/a.png": 2, "c.PNG": 3})


def test_a_class_folder_without_images_is_said(pair, heard):
    source, target = pair
    (source / "horse" / "deep").mkdir(parents=True)
    (source / "notes").mkdir()
    (source / "notes" / "a.txt").write_text("none")
    (target / "empty").mkdir()
    form, *_ = read_domains(source, target, report=heard.append)
    assert form.classes.values == ("cat", "dog")
    assert "source: 2 sub-folders without an image are no classes: 'horse', 'notes'" in heard
    assert not any(line.startswith("target") for line in heard)


def test_a_source_and_a_target(pair, heard):
    form, source, target = read_domains(*pair, report=heard.append)
    assert (form.kind, form.shape, form.classes.values) == ("images", (8, 8, 3), ("cat", "dog"))
    assert source.ids == ["cat/1.png", "cat/deep/er/2.png", "dog/1.png"]
    assert source.y.tolist() == [0, 0, 1]
    assert source.x[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert source.x.dtype == np.uint8
    assert target.y is None
    assert target.ids == ["b.png", "c.PNG", "cat/a.png"]
    assert target.x[:, 0, 0, 0].tolist() == [1, 3, 2]
    assert heard == ["source: one sample only of 1 classes, too few to learn from: 'dog'"]


def test_read_again_as_the_format_says(pair, make):
    form, *_ = read_domains(*pair)
    test = make.images("e", {"dog/x.png": 9, "dog/y.png": Image.new("L", (16, 16), 200)})
    evaluated = read_domain(test, form, labelled=True)
    assert evaluated.y.tolist() == [1, 1]
    assert evaluated.x.shape == (2, 8, 8, 3)
    assert (evaluated.x[1] == 200).all()
    predicted = read_domain(make.images("p", {"cow/x.png": 9}), form, labelled=False)
    assert predicted.y is None
    assert predicted.ids == ["cow/x.png"]
    with pytest.raises(InputError, match=r"sub-folders: expected the classes 'cat', 'dog', received .* 'cow'"):
        read_domain(make.folder / "p", form, labelled=True)
    with pytest.raises(InputError, match=r"2 images of 3 outside of them: 'b.png', 'c.PNG'; move"):
        read_domain(pair[1], form, labelled=True)


# Sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(20, 64)] * 3, (20, 64)),
        ([(20, 65)] * 3, (64, 64)),
        ([(28, 28), (28, 28), (28, 27)], (64, 64)),
        ([(159, 900)] * 3, (64, 64)),
        ([(160, 200)] * 3, (224, 224)),
        ([(10, 10), (160, 160), (300, 300)], (224, 224)),
    ],
)
def test_the_size_is_chosen_over_both_domains(make, sizes, expected):
    a, b, c = (Image.new("L", (width, height)) for height, width in sizes)
    form, source, target = read_domains(make.images("s", {"x/a.png": a, "y/b.png": b}), make.images("t", {"c.png": c}))
    assert form.detail == {"size": list(expected)}
    assert source.x.shape[1:] == target.x.shape[1:] == form.shape == (*expected, 3)


@pytest.mark.parametrize(("size", "shape"), [(5, (5, 5, 3)), ((4, 6), (4, 6, 3))])
def test_a_size_of_ones_own(pair, size, shape):
    assert read_domains(*pair, size=size)[1].x.shape[1:] == shape


@pytest.mark.parametrize("size", [0, -1, 5000, 2.5, True, "8", (8,), (8, 0), (8, 8, 3)])
def test_bad_sizes(pair, size):
    with pytest.raises(InputError, match="size: expected pixels from 1 to 4096"):
        read_domains(*pair, size=size)


def test_the_middle_is_kept_and_nothing_is_distorted(make):
    wide = np.zeros((40, 120, 3), "uint8")
    wide[:, 40:80] = 255  # the middle square
    path = make.images("f", {"wide.png": _png(wide), "tall.png": _png(wide.transpose(1, 0, 2).copy())})
    for name in ("wide.png", "tall.png"):
        pixels = decode(path / name, (10, 10))
        assert (pixels[1:-1, 1:-1] == 255).all()
        assert (pixels > 200).all()  # the scaling looks a pixel beyond the cut


@pytest.mark.parametrize(("side", "waves"), [(64, 6), (400, 150)])
def test_large_photos_are_scaled_like_small_ones(make, side, waves):
    """JPEG files are decoded at a fraction of their size: this must not show."""
    x, y = np.meshgrid(np.linspace(0, 6, 1600), np.linspace(0, 5, 1200))
    photo = np.stack([127 + 120 * np.sin(x * waves + y)] * 3, -1).astype("uint8")
    path = make.images("f", {"a.png": _png(photo)})
    _png(photo).save(path / "a.jpg", quality=95)
    jpeg, png = (decode(path / name, (side, side)).astype(int) for name in ("a.jpg", "a.png"))
    assert abs(jpeg - png).max() <= 3
    assert abs(jpeg - png).mean() < 0.5


# Modes --------------------------------------------------------------------------------------------------


def _decoded(make, name, image, **save):
    path = make.folder / name
    image.save(path, **save)
    return decode(path, image.size[::-1])


def test_grey_and_black_and_white(make):
    grey = _noise(channels=0)
    np.testing.assert_array_equal(_decoded(make, "g.png", _png(grey)), np.repeat(grey[..., None], 3, -1))
    np.testing.assert_array_equal(_decoded(make, "1.png", _png(grey > 99))[..., 0], (grey > 99) * 255)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "ppm"])
def test_rgb_is_read_as_it_is(make, ending):
    pixels = _noise()
    save = {"lossless": True} if ending == "webp" else {}
    np.testing.assert_array_equal(_decoded(make, f"a.{ending}", _png(pixels), **save), pixels)


def test_transparency_lies_over_white(make):
    rgba = np.zeros((1, 3, 4), "uint8")
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = [0, 255, 128]
    expected = [[255, 255, 255], [200, 0, 0], [227, 127, 127]]
    np.testing.assert_allclose(_decoded(make, "a.png", _png(rgba))[0], expected, atol=1)
    la = Image.fromarray(rgba[..., [0, 3]])
    np.testing.assert_allclose(_decoded(make, "la.png", la)[0, :, 0], [255, 200, 227], atol=1)


def test_palettes(make):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert _decoded(make, "p.png", image)[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    assert _decoded(make, "t.png", image, transparency=1)[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert _decoded(make, "p.gif", image)[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_a_transparent_grey(make):
    image = _png(np.array([[7, 9]], "uint8"))
    assert _decoded(make, "g.png", image, transparency=7)[0].tolist() == [[255] * 3, [9] * 3]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_scaled_by_the_range_not_by_the_image(make, ending):
    levels = np.array([[0, 128, 257, 32768, 65535]], "uint16")
    assert _decoded(make, f"a.{ending}", Image.fromarray(levels))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    dark = np.array([[0, 257 * 3]], "uint16")
    assert _decoded(make, f"d.{ending}", Image.fromarray(dark))[0, :, 0].tolist() == [0, 3]


def test_16_bits_of_colour(make):
    """Pillow writes no such files: a PNG by hand."""
    pixels = np.array([[[0, 256 * 100, 65535]]], ">u2")
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + pixels.tobytes())),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    assert decode(make.text("a.png", b"\x89PNG\r\n\x1a\n" + body), (1, 1)).tolist() == [[[0, 100, 255]]]


def test_cmyk(make):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    colour = _decoded(make, "c.jpg", image)[8, 8]
    np.testing.assert_allclose(colour, [255, 0, 0], atol=3)
    np.testing.assert_allclose(_decoded(make, "c.tif", image)[8, 8], [255, 0, 0], atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "lzw.tif"])
def test_rotation_by_exif_is_undone(make, orientation, ending):
    upright = np.zeros((16, 32), "uint8")
    upright[:8, :16] = 80
    upright[8:, 16:] = 160
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how the camera stored it: Image.Transpose
    stored = _png(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = make.images("t", {}) / f"a.{ending}"
    options = {"webp": {"lossless": True}, "lzw.tif": {"compression": "tiff_lzw"}}
    stored.save(path, exif=exif, **options.get(ending, {}))
    np.testing.assert_allclose(decode(path, (16, 32))[..., 0], upright, atol=4)
    source = make.images("s", {"a/a.png": Image.new("L", (32, 16)), "b/a.png": Image.new("L", (32, 16))})
    assert read_domains(source, path.parent)[0].shape == (16, 32, 3)


def test_damaged_exif_says_nothing_about_the_pixels(make):
    path = make.folder / "a.jpg"
    Image.new("L", (8, 8), 50).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert (decode(path, (8, 8)) == 50).all()


def test_an_animation_is_its_first_picture(make):
    path = make.folder / "a.gif"
    frames = [Image.new("L", (8, 8), level) for level in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (decode(path, (8, 8)) == 10).all()


# Files that are no images -------------------------------------------------------------------------------


def _noisy_jpeg(make):
    path = make.folder / "whole.jpg"
    _png(_noise(64, 64)).save(path, quality=95)
    return path.read_bytes()


def _png_bytes(make):
    path = make.folder / "whole.png"
    _png(_noise(64, 64)).save(path)
    return path.read_bytes()


def _huge_png(side):
    """A small file that says it has many pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


BAD = {
    "empty": lambda make: b"",
    "truncated": lambda make: _noisy_jpeg(make)[:2000],
    "no image": lambda make: b"<html>not found</html>",
    "damaged": lambda make: _png_bytes(make)[:60] + b"?" * 40 + _png_bytes(make)[100:],
    "more than 50 million pixels": lambda make: _huge_png(8000),
    "more than 50 million pixels (bomb)": lambda make: _huge_png(30_000),
}


@pytest.mark.parametrize("why", BAD)
def test_a_bad_file_is_named_or_skipped(pair, make, heard, why):
    source, target = pair
    (source / "cat" / "bad.jpg").write_bytes(BAD[why](make))
    reason = why.removesuffix(" (bomb)")
    with pytest.raises(InputError, match=rf"source: .* 1 of 4 files .*: cat/bad.jpg \({reason}\); .*--skip-bad"):
        read_domains(source, target)
    _, domain, _ = read_domains(source, target, skip_bad=True, report=heard.append)
    assert domain.ids == ["cat/1.png", "cat/deep/er/2.png", "dog/1.png"]
    assert domain.x[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert domain.y.tolist() == [0, 0, 1]
    assert heard[:1] == [f"source: skipped 1 of 4 images that cannot be decoded: cat/bad.jpg ({reason})"]


def test_many_bad_files_are_counted(pair, make):
    for i in range(9):
        (pair[1] / f"{i}.jpg").write_bytes(b"?")
    with pytest.raises(
        InputError, match=r"target: .* 9 of 12 files .*: 0.jpg \(no image\), 1.jpg .*2.jpg .* and 6 more"
    ):
        read_domains(*pair)


def test_only_bad_files(pair, make):
    for file in (pair[0] / "cat").rglob("*.png"):
        file.write_bytes(b"?")
    with pytest.raises(InputError, match="one only"):
        read_domains(*pair, skip_bad=True)
    (pair[0] / "dog/1.png").write_bytes(b"?")
    with pytest.raises(InputError, match="3 files none of which can be decoded"):
        read_domains(*pair, skip_bad=True)


def test_other_files_are_reported_and_ignored(pair, heard):
    source, target = pair
    for name in (".DS_Store", "cat/Thumbs.db", "notes.txt", ".hidden/1.png", "cat/._1.png"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"?")
    assert read_domains(source, target, report=heard.append)[1].ids == ["cat/1.png", "cat/deep/er/2.png", "dog/1.png"]
    assert heard[0].startswith("source: ignored 5 files that are hidden or no images")


def test_formats_that_start_programs_are_not_tried(make):
    """PostScript is interpreted by another program."""
    make.images("s", {"a/1.png": 1, "b/1.png": 2})
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (make.folder / "s/b/2.png").write_bytes(script)
    with pytest.raises(InputError, match=r"b/2.png \(no image\)"):
        read_domains(make.folder / "s", make.folder / "s")


def test_links_are_followed_and_loops_end(pair, heard):
    source, target = pair
    (target / "loop").symlink_to(target)
    (target / "cat" / "up").symlink_to("..")
    (target / "self").symlink_to("self")
    (target / "link.png").symlink_to(source / "cat/1.png")
    (target / "more").symlink_to(source / "dog")
    domain = read_domains(source, target, report=heard.append)[2]
    assert domain.ids == ["b.png", "c.PNG", "cat/a.png", "link.png", "more/1.png"]
    assert heard[0].startswith("target: ignored 2 links to folders that were read already")


def test_equal_names_in_several_folders_are_several_images(pair, make):
    """They can be told apart in the predictions."""
    target = make.images("u", {"a/1.png": 1, "b/1.png": 2, "b/1.jpg": 3})
    assert read_domains(pair[0], target)[2].ids == ["a/1.png", "b/1.jpg", "b/1.png"]


def test_a_broken_link_is_a_bad_file(pair):
    (pair[1] / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"gone.png \(not there\)"):
        read_domains(*pair)


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"?"}, {"a/notes.txt": b"?"}])
def test_a_folder_without_images(pair, make, content):
    with pytest.raises(InputError, match=r"source: expected images \(.bmp, .*without any: "):
        read_domains(make.images("n", content), pair[1])
    with pytest.raises(InputError, match=r"target: expected images"):
        read_domains(pair[0], make.images("n", content))


def test_one_class_only(pair, make):
    with pytest.raises(InputError, match="at least two classes, received one only"):
        read_domains(make.images("n", {"a/1.png": 1, "a/2.png": 2}), pair[1])


def test_an_empty_class_folder_is_no_class(pair):
    (pair[0] / "cow").mkdir()
    assert read_domains(*pair)[0].classes.values == ("cat", "dog")


def test_images_outside_of_class_folders(pair, make):
    with pytest.raises(InputError, match=r"source: .*1 images of 3 outside of them: '1.png'; move"):
        read_domains(make.images("n", {"1.png": 1, "a/1.png": 1, "b/2.png": 2}), pair[1])


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_unreadable_permissions(pair, make):
    """As another user where this one may read everything."""
    source, target = pair
    (source / "dog/1.png").chmod(0)
    code = (
        "import sys, os\n"
        "from flipgrad.errors import InputError\n"
        "from flipgrad.inputs import images, read_domains\n"
        "import PIL.PngImagePlugin\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "for _ in range(2):\n"
        "    try: read_domains(sys.argv[1], sys.argv[2])\n"
        "    except InputError as error: print(error)\n"
        "    sys.argv[1] = sys.argv[3]\n"
    )
    locked = make.images("locked", {"a/1.png": 1, "b/1.png": 1})
    (locked / "a").chmod(0)
    for folder in [make.folder, *make.folder.parents]:
        if str(folder) == tempfile.gettempdir():
            break
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, source, target, locked], capture_output=True, text=True)
    (locked / "a").chmod(0o755)
    first, second = done.stdout.splitlines()
    assert "dog/1.png (no permission)" in first
    assert "cannot be read (Permission denied)" in second


# Rows that are decoded when they are asked for ----------------------------------------------------------


def test_large_folders_are_decoded_when_asked_for(pair, monkeypatch):
    form, whole, _ = read_domains(*pair, size=(6, 5))
    monkeypatch.setattr(images, "IN_MEMORY", 100)
    again, lazy, target = read_domains(*pair, size=(6, 5))
    assert again == form
    assert isinstance(lazy.x, ImageRows)
    assert isinstance(target.x, ImageRows)
    assert lazy.x.shape == whole.x.shape
    assert (lazy.x.ndim, lazy.x.dtype, len(lazy.x)) == (4, np.uint8, 3)
    for rows in (
        slice(None),
        slice(1, 3),
        np.array([2, 0, 2]),
        [1],
        np.array([True, False, True]),
        np.array([], int),
        1,
        -1,
    ):
        np.testing.assert_array_equal(lazy.x[rows], whole.x[rows])
    with pytest.raises(IndexError):
        lazy.x[np.array([3])]
    np.testing.assert_array_equal(np.asarray(lazy.x), whole.x)


def test_bad_files_are_found_before_training(pair, monkeypatch):
    monkeypatch.setattr(images, "IN_MEMORY", 100)
    (pair[0] / "cat" / "bad.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"cat/bad.jpg \(empty\)"):
        read_domains(*pair)
    assert read_domains(*pair, skip_bad=True)[1].x.shape == (3, 8, 8, 3)


def test_a_file_that_goes_away_later(pair, monkeypatch):
    monkeypatch.setattr(images, "IN_MEMORY", 100)
    x = read_domains(*pair)[1].x
    (pair[0] / "dog/1.png").unlink()
    assert x[np.array([0])].max() == 10
    with pytest.raises(InputError, match=r"dog/1.png: could be read before and now cannot \(not there\)"):
        x[np.array([0, 2])]
