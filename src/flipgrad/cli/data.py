"""``flipgrad data``: the files of the data sets, and MNIST-M made once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flipgrad.cli import _errors, _options

Text = str | None
KINDS = ("official", "generated")
SIZES = ("28", "32")

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """Make and find data sets.

    \b
    Examples:
      flipgrad data list
      flipgrad data mnist-m --kind official --out mnist_m.npz
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("mnist-m")
def mnist_m(
    out: Annotated[
        str,
        typer.Option(metavar="FILE.npz", help="The file to write; must not exist.", show_default=False),
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="official: the published images, bit for bit, 59001 + 9001; generated: new "
            "ones by the same rule, 60000 + 10000.",
        ),
    ] = "generated",
    seed: Annotated[Text, typer.Option(metavar="N", help="Of the crops of --kind generated. [default: 0]")] = None,
    size: Annotated[
        str,
        typer.Option(metavar="28|32", help="Of the images in pixels; 32 as published."),
    ] = "28",
    data_dir: Annotated[
        Text,
        typer.Option(
            metavar="FOLDER",
            help="Where MNIST and BSDS500 lie; missing files are downloaded into the user's cache. "
            "[default: $FLIPGRAD_DATA]",
        ),
    ] = None,
) -> None:
    """Make MNIST-M from MNIST and BSDS500 and write it to one file.

    Each digit is blended into a random crop of a photograph.  The file holds x_train, y_train,
    x_test and y_test; images are uint8 (n, size, size, 3).  It appears whole or not at all.
    Printed are the shapes and the SHA-256 of the images.

    \b
    Examples:
      flipgrad data mnist-m --kind official --size 32 --out mnist_m.npz
      flipgrad data mnist-m --seed 1 --data-dir ~/data --out mnist_m_1.npz
    """
    _errors.one_of("--kind", kind, KINDS)
    pixels = int(_errors.one_of("--size", size, SIZES))
    if seed is not None and kind == "official":
        remedy = "leave it out: the published images have no seed"
        raise _errors.bad("--seed", "--kind generated with it", f"--kind {kind}", remedy)
    number = 0 if seed is None else _options.seed(seed)
    folder = _options.existing_folder("--data-dir", data_dir)
    path = _options.new_file("--out", out, [".npz"])

    from flipgrad.data import mnist_m as source
    from flipgrad.data import samples

    if kind == "official":
        splits = source.official(folder, size=pixels)
    else:
        splits = source.generated(folder, seed=number, size=pixels)
    samples.save(path, splits)
    print(path)
    for name, split in (("train", splits.train), ("test", splits.test)):
        print(f"{name:5}  {split.x.shape}  {split.x.dtype}  sha256 {samples.sha256(split.x)}")


@app.command("list", short_help="List the data files: where found, where from, on what terms.")
def list_files(
    data_dir: Annotated[Text, typer.Option(metavar="FOLDER", help="A folder to look in first.")] = None,
) -> None:
    """List the data files: where each was found, where it is fetched from, and its terms.

    \b
    Example:
      flipgrad data list --data-dir ~/data
    """
    folder = _options.existing_folder("--data-dir", data_dir)

    from flipgrad.data import sources
    from flipgrad.errors import InputError

    for file in (*sources.MNIST.values(), *sources.BSDS500):
        try:
            place = str(sources.find_files([[file]], folder, download=False)[0])
        except InputError:
            place = "not found"
        size = f"{file.size} bytes" if file.size else "size not fixed"
        print(f"{file.folder}/{file.name}  ({size})")
        print(f"    here:  {place}")
        for url in file.urls or ("not fetched: accepted where you have it",):
            print(f"    from:  {url}")
        print(f"    terms: {file.terms}")
    sys.stdout.flush()
