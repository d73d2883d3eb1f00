"""Downloads against a server in this process; archives made to do harm."""

import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile

import pytest

from zcdl_common import archives, download
from zcdl_common.download import ProgressLine, fetch, unpack
from zcdl_common.errors import DataError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `cut` ends the first answers early, `ranges` honours Range."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.ranges, self.status = CONTENT, [], True, []
        self.asked = []
        self.location = ""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.bin?download=1"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.location:
            self.send_response(302)
            self.send_header("Location", server.location)
            self.end_headers()
            return
        if server.status:
            self.send_error(server.status.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut:
            body = body[: server.cut.pop(0)]
        self.wfile.write(body)


@pytest.fixture
def server():
    one = Server()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()


def get(server, target, **changes):
    asked = {"url": server.url, "sha256": DIGEST, "bytes": len(CONTENT), "pause_seconds": 0.001} | changes
    return fetch(target=target, **asked)


def test_a_download_arrives_whole_and_says_how_far_it_is(server, tmp_path):
    heard = []
    path = get(server, tmp_path / "deep" / "a.bin", progress=lambda here, total: heard.append((here, total)))
    assert path.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_a_file_that_is_there_and_right_is_not_fetched_again(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    get(server, tmp_path / "a.bin")
    assert server.asked == []


def test_a_file_that_is_there_and_wrong_is_replaced(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT


def test_an_interrupted_download_continues_where_it_ended(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:300_000])
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=300000-"]


def test_a_server_without_ranges_starts_over_without_doubling_the_beginning(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:300_000])
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_dies_half_way_is_asked_for_the_rest(server, tmp_path):
    server.cut = [500_000, 100_000]
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-", "bytes=600000-"]


def test_busy_servers_are_asked_again(server, tmp_path):
    server.status = [503, 429]
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_of_an_older_version_is_given_up(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"\0" * 300_000)
    assert get(server, tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_given_up(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path / "a.bin", bytes=None).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_wrong_hash_names_file_and_hashes_and_leaves_nothing(server, tmp_path, size):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DataError) as caught:
        get(server, tmp_path / "a.bin", bytes=size)
    assert "a.bin" in str(caught.value)
    assert DIGEST in str(caught.value)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_named_and_leaves_nothing(server, tmp_path):
    with pytest.raises(DataError, match=f"expected 10 bytes, found {len(CONTENT)}"):
        get(server, tmp_path / "a.bin", bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_offline_says_so_and_points_to_what_works_offline(tmp_path):
    with pytest.raises(DataError, match=r"online.*simulated"):
        fetch("http://127.0.0.1:9/a.bin", DIGEST, None, tmp_path / "a.bin", pause_seconds=0.001)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_refused_at_once(server, tmp_path):
    server.status = [404] * 9
    with pytest.raises(DataError, match="404"):
        get(server, tmp_path / "a.bin")
    assert len(server.asked) == 1


def test_only_http_addresses_are_opened(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(DataError, match="https://"):
        get(server, tmp_path / "a.bin", url=secret.as_uri())
    server.location = secret.as_uri()
    with pytest.raises(DataError):
        get(server, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_a_full_disk_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: Free())
    with pytest.raises(DataError, match="ZCDL_DATA"):
        get(server, tmp_path / "a.bin")
    assert server.asked == []


class Free:
    free = 1000


def test_the_progress_line_is_ten_lines_where_nobody_watches(capsys):
    line = ProgressLine("nuclei.zip")
    for here in range(0, 1001):
        line(here * 1000, 1_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "nuclei.zip: 1.0 MB of 1.0 MB (100 %)"


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return path


def tarred(path, members, kind="w:gz"):
    with tarfile.open(path, kind) as tape:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tape.addfile(entry, io.BytesIO(content))
    return path


def files_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archives_unpack_without_the_leftovers_of_macos(tmp_path, pack):
    members = {
        "a/b c.tif": b"1",
        "ü.tif": b"2",
        "__MACOSX/a/._b.tif": b"3",
        "a/._b c.tif": b"4",
        "a/.DS_Store": b"5",
    }
    unpack(pack(tmp_path / "x", members), tmp_path / "out")
    assert files_in(tmp_path / "out") == {"a/b c.tif": b"1", "ü.tif": b"2"}


HARMFUL = [
    "../evil.tif",
    "a/../../evil.tif",
    "/evil.tif",
    "..\\evil.tif",
    "C:\\evil.tif",
    "\\\\host\\share\\evil.tif",
]


@pytest.mark.parametrize("name", HARMFUL)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_paths_out_of_the_folder_are_refused_and_nothing_is_left(tmp_path, pack, name):
    archive = pack(tmp_path / "x", {"good.tif": b"1", name: b"2"})
    with pytest.raises(DataError, match="evil"):
        unpack(archive, tmp_path / "in" / "out")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [archive]
    assert not (tmp_path / "in" / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tape:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tape.addfile(entry)
    with pytest.raises(DataError, match="link or device"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")


def test_links_in_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as box:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        box.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="link or device"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_stops_at_the_limit_and_leaves_nothing(tmp_path, pack):
    archive = pack(tmp_path / "x", {"a": bytes(600), "b": bytes(600)})
    with pytest.raises(DataError, match="1000 bytes"):
        unpack(archive, tmp_path / "out", limit=1000)
    assert list(tmp_path.iterdir()) == [archive]
    unpack(archive, tmp_path / "out", limit=1200)


def test_damaged_and_foreign_files_are_named(tmp_path):
    whole = zipped(tmp_path / "x.zip", {"a": os.urandom(5000)}).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:2000] + b"\0" * 100 + whole[2100:])
    (tmp_path / "y.zip").write_bytes(b"not an archive")
    for name in ("x.zip", "y.zip"):
        with pytest.raises(DataError, match=name):
            unpack(tmp_path / name, tmp_path / "out")
    torn = tarred(tmp_path / "z.tar.gz", {"a": os.urandom(50_000)}).read_bytes()[:20_000]
    (tmp_path / "z.tar.gz").write_bytes(torn)
    with pytest.raises(DataError, match=r"z\.tar\.gz"):
        unpack(tmp_path / "z.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_for_both_a_file_and_a_folder_is_damage(tmp_path):
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(zipped(tmp_path / "x.zip", {"a": b"1", "a/b": b"2"}), tmp_path / "out")


def test_an_existing_folder_is_never_unpacked_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        unpack(zipped(tmp_path / "x.zip", {"mine.txt": b"theirs"}), tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_archives_are_known_by_their_content(tmp_path):
    assert archives.is_archive(zipped(tmp_path / "a.bin", {"a": b"1"}))
    assert archives.is_archive(tarred(tmp_path / "b.bin", {"a": b"1"}))
    (tmp_path / "c.zip").write_bytes(b"II*\0")
    assert not archives.is_archive(tmp_path / "c.zip")
