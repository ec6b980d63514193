import hashlib
import http.server
import threading
from dataclasses import replace

import pytest

from flipgrad.data import sources
from flipgrad.data.sources import RemoteFile, find_files
from flipgrad.errors import InputError

CONTENTS = b"the contents of the file" * 100


def remote(name="a.gz", urls=("https://one.invalid/a.gz", "https://two.invalid/a.gz")):
    digest = hashlib.sha256(CONTENTS).hexdigest()
    return RemoteFile(name, "set", urls, digest, len(CONTENTS), "none", "none")


def serving(answers):
    """A downloader that writes answers[url], or raises it."""

    def download(url, output, _pooch):
        answer = answers[url]
        contents = answer if isinstance(answer, bytes) else CONTENTS[:10]
        with open(output, "wb") as file:
            file.write(contents)
        if isinstance(answer, Exception):
            raise answer  # half of the file is written

    return download


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_table_has_only_tls_addresses_terms_and_citations():
    files = [*sources.MNIST.values(), *sources.BSDS500]
    assert len({file.name for file in files}) == len(files) == 7
    for file in files:
        assert all(url.startswith("https://") for url in file.urls)
        assert file.terms
        assert file.citation
    assert all(len(file.sha256) == 64 and file.size for file in sources.MNIST.values())


def test_the_table_agrees_with_the_real_files(real_data):
    for file in sources.MNIST.values():
        contents = (real_data / "mnist" / file.name).read_bytes()
        assert len(contents) == file.size
        assert hashlib.sha256(contents).hexdigest() == file.sha256


@pytest.mark.parametrize("below", [".", "set"])
def test_order_of_the_folders(tmp_path, no_files, monkeypatch, below):
    folders = [tmp_path / "named", tmp_path / "variable", no_files]
    for folder in folders:
        (folder / below).mkdir(parents=True)
        (folder / below / "a.gz").write_bytes(b"")
    monkeypatch.setenv("FLIPGRAD_DATA", str(folders[1]))
    for folder in folders:
        (found,) = find_files([[remote()]], data_dir=folders[0], download=False)
        assert found == folder / below / "a.gz"
        found.unlink()


def test_any_alternative_is_enough(tmp_path, no_files):
    (tmp_path / "b.zip").write_bytes(b"")
    (found,) = find_files([[remote(), remote("b.zip")]], tmp_path, download=False)
    assert found == tmp_path / "b.zip"


def test_a_download_goes_to_the_cache_and_is_used_from_there(no_files):
    first = serving({"https://one.invalid/a.gz": CONTENTS})
    (path,) = find_files([[remote()]], downloader=first)
    assert path == no_files / "set" / "a.gz"
    assert path.read_bytes() == CONTENTS
    assert find_files([[remote()]], downloader=serving({})) == [path]


@pytest.mark.parametrize("first", [b"another file", b"", OSError("connection lost")])
def test_the_next_mirror_is_tried(no_files, first):
    answers = {"https://one.invalid/a.gz": first, "https://two.invalid/a.gz": CONTENTS}
    (path,) = find_files([[remote()]], downloader=serving(answers))
    assert path.read_bytes() == CONTENTS
    assert files_in(no_files) == ["a.gz"]


@pytest.mark.parametrize("answer", [b"another file", OSError("connection\nlost")])
def test_a_failing_download_leaves_nothing_and_names_everything(no_files, tmp_path, answer):
    answers = dict.fromkeys(remote().urls, answer)
    other = replace(remote("b.gz"), urls=("https://three.invalid/b.gz",))
    with pytest.raises(InputError) as caught:
        find_files([[remote()], [other]], tmp_path, downloader=serving(answers))
    message = str(caught.value)
    expected = "another checksum" if isinstance(answer, bytes) else "connection lost"
    for part in ("a.gz", "b.gz", *other.urls, str(tmp_path), str(no_files), expected):
        assert part in message
    assert "\n" not in message
    assert files_in(no_files) == []


def test_an_interrupted_download_leaves_nothing(no_files):
    def interrupt(url, output, _pooch):
        with open(output, "wb") as file:
            file.write(CONTENTS[:10])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_files([[remote()]], downloader=interrupt)
    assert files_in(no_files) == []


def test_nothing_is_fetched_when_downloading_is_off(no_files):
    with pytest.raises(InputError, match="downloading was switched off"):
        find_files([[remote()]], download=False, downloader=serving({}))


def test_a_refused_connection_by_the_real_downloader(no_files):
    file = remote(urls=("https://127.0.0.1:1/a.gz",))
    with pytest.raises(InputError, match="no connection"):
        find_files([[file]], progress=False)
    assert files_in(no_files) == []


@pytest.fixture
def server():
    """A local server; plain http, since the table's own https addresses cannot be served here."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404 if "none" in self.path else 200)
            self.send_header("Content-Length", str(len(CONTENTS)))
            self.end_headers()
            self.wfile.write(CONTENTS[:50] if "short" in self.path else CONTENTS)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("known", [True, False])
def test_the_real_downloader_keeps_whole_files_only(no_files, server, known):
    file = remote(urls=(f"{server}/short", f"{server}/none"))
    file = file if known else replace(file, sha256=None)
    with pytest.raises(InputError, match="status 404"):
        find_files([[file]], progress=False)
    assert files_in(no_files) == []
    (path,) = find_files([[replace(file, urls=(f"{server}/a.gz",))]], progress=False)
    assert path.read_bytes() == CONTENTS


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_folder_that_does_not_exist(no_files, tmp_path, monkeypatch, how):
    missing = tmp_path / "none"
    monkeypatch.setenv("FLIPGRAD_DATA", str(missing) if how == "variable" else "")
    name = "data_dir" if how == "argument" else r"\$FLIPGRAD_DATA"
    with pytest.raises(InputError, match=f"{name} must be an existing folder"):
        find_files([[remote()]], missing if how == "argument" else None, download=False)
