"""Rows that stay in the file are those of the thorough reader, and take little memory."""

import os
import pickle
import tracemalloc

import pytest

from vjepa.data import manifest
from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, class_names, read_manifest, write_manifest
from vjepa.data.transforms import eval_transform
from vjepa.data.video_table import ChainedVideos, Mapped, VideoTable, label_codes

PLAIN = {
    "one column": "path\na.mp4\nb/c.mp4\n",
    "no last line end": "path,label\na.mp4,x\nb.mp4,y",
    "windows": "path,label\r\na.mp4,x\r\nb.mp4,\r\n",
    "byte order mark": "\ufeffpath,label\na.mp4,x\n",
    "empty lines": "\n\npath,label\n\na.mp4,x\n\n\nb.mp4,y\n",
    "tabs": "label\tpath\nx y\ta, b.mp4\n\tc.mp4\n",
    "times": "path,start,end,label\na.mp4,,,x\nb.mp4,0.5,,x\nc.mp4,,2.25,y\nd.mp4,1,1e2,\n",
    "groups": "path,group,subject,more\na.mp4,g,s,1\nb.mp4,,s,2\nc.mp4,,,3\n",
    "paths": "path\n/a.mp4\n../b.mp4\n~/c.mp4\nd/./e//f.mp4\n",
    "letters": "path,label\nd\u00fcr/\u4e00.mp4,x\u00fcx\n",
    "spaced header": " path , label\na.mp4,x\n",
}
THOROUGH = {
    "quotes": 'path,label\n"a, b.mp4",x\n',
    "white space": "path,label\na.mp4, x\n",
    "wide space": "path,label\n\u3000a.mp4,x\n",
    "short rows": "path,label\na.mp4\nb.mp4,y\n",
    "long rows": "path,label\na.mp4,x,z\n",
    "other line ends": "path,label\na.mp4,x\u2028b.mp4,y\n",
}


def both(path, monkeypatch, source=None):
    """The rows as they are read, and as the thorough reader alone reads them."""
    found = read_manifest(source or path)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "read_plain_csv", lambda *_: None)
        return found, read_manifest(source or path)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_rows_stay_in_the_file_and_are_those_of_the_thorough_reader(name, tmp_path, monkeypatch):
    (tmp_path / "l.csv").write_text(PLAIN[name], newline="")
    found, expected = both(tmp_path / "l.csv", monkeypatch)
    assert isinstance(found, VideoTable)
    assert isinstance(expected, list)
    assert list(found) == expected
    assert [found[row] for row in range(len(found))] == expected
    assert found[-1] == expected[-1]
    assert found == expected
    assert found != [*expected, expected[0]]
    assert found[:1] == expected[:1]
    assert class_names(found) == class_names(expected)
    codes, names = label_codes(found)
    assert [None if code < 0 else names[code] for code in codes] == [video.label for video in expected]


@pytest.mark.parametrize("name", THOROUGH)
def test_what_is_unusual_is_read_thoroughly(name, tmp_path, monkeypatch):
    (tmp_path / "l.csv").write_text(THOROUGH[name], newline="")
    found, expected = both(tmp_path / "l.csv", monkeypatch)
    assert isinstance(found, list)
    assert found == expected


def test_white_space_in_the_cells_of_a_selection_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "l.csv").write_text("path,split\na.mp4,train\nb.mp4,train \nc.mp4, train\nd.mp4,test\n")
    found, expected = both(None, monkeypatch, f"{tmp_path / 'l.csv'}?split=train")
    assert [os.path.basename(video.path) for video in found] == ["a.mp4", "b.mp4", "c.mp4"]
    assert list(found) == expected


@pytest.mark.parametrize("query", ["split=test", "split=train&person=3", "split=tes"])
def test_rows_are_selected_by_whole_cells(query, tmp_path, monkeypatch):
    text = "path,split,person\na.mp4,train,3\nb.mp4,test,3\nc.mp4,train,33\nd.mp4,tes,3\ne.mp4,,3\n"
    (tmp_path / "l.csv").write_text(text)
    found, expected = both(None, monkeypatch, f"{tmp_path / 'l.csv'}?{query}")
    assert isinstance(found, VideoTable)
    assert list(found) == expected


def test_bytes_that_are_no_text_still_open_their_file(tmp_path, monkeypatch):
    (tmp_path / "l.csv").write_bytes(b"path,label\nx\xff.mp4,y\n")
    found, expected = both(tmp_path / "l.csv", monkeypatch)
    assert list(found) == expected
    assert os.fsencode(found[0].path).endswith(b"x\xff.mp4")


def test_rows_beyond_one_reading_are_the_same(tmp_path, monkeypatch):
    rows = [f"{'d' * (row % 7)}/{row}.mp4,{row % 5 or ''},{row / 8 or ''}" for row in range(10_001)]
    (tmp_path / "l.csv").write_text("path,label,start\n" + "\n".join(rows))
    monkeypatch.setattr("vjepa.data.video_table._CHUNK", 1000)
    monkeypatch.setattr("vjepa.data.video_table._CHUNK_ROWS", 99)
    found, expected = both(tmp_path / "l.csv", monkeypatch)
    assert list(found) == expected
    assert list(found[5000:10_000:3]) == expected[5000:10_000:3]
    assert found[9_876] == expected[9_876]


def test_many_rows_take_little_memory(tmp_path):
    with (tmp_path / "l.csv").open("w") as file:
        file.write("path,label\n")
        file.writelines(
            f"clips/{row // 1000:05d}/video_{row:08d}.mp4,class {row % 700}\n" for row in range(100_000)
        )
    tracemalloc.start()
    videos = read_manifest(tmp_path / "l.csv")
    data = ClipDataset(videos, ClipSampling(4), eval_transform(8), 0)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == 100_000
    assert len(data.classes) == 700
    assert kept / 100_000 < 30  # bytes a row; Python objects take 450


def test_a_list_that_was_rewritten_is_refused_and_travels_by_its_path(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("path,label\na.mp4,x\nb.mp4,y\n")
    videos = read_manifest(path)
    sent = pickle.dumps(videos)
    assert list(pickle.loads(sent)) == list(videos)
    path.write_text("path,label\nlonger.mp4,x\n")
    for read in (lambda: videos[0], lambda: list(videos), lambda: pickle.loads(sent)):
        with pytest.raises(ValueError, match=r"l\.csv was changed while it is in use"):
            read()


def test_a_list_can_be_written_over_the_one_it_comes_from(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("path,label\na.mp4,x\nb.mp4,y\n")
    videos = read_manifest(path)
    expected = list(videos)[1:]
    write_manifest(path, videos[1:])
    assert list(read_manifest(path)) == expected
    assert len(list(videos)) == 2  # of the file that was there
    path.unlink()
    assert videos[1] == expected[0]


def test_a_link_is_kept_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "there.csv").write_text("path\nold.mp4\n")
    (tmp_path / "link.csv").symlink_to("there.csv")
    write_manifest(tmp_path / "link.csv", [Video(str(tmp_path / "a.mp4"))])
    assert (tmp_path / "link.csv").is_symlink()
    assert "a.mp4" in (tmp_path / "there.csv").read_text()
    write_manifest("/dev/null", [Video("/a.mp4")])
    assert not os.path.isfile("/dev/null")


def test_lists_one_after_the_other(tmp_path):
    (tmp_path / "l.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    table, plain = read_manifest(tmp_path / "l.csv"), [Video("/c.mp4", "z"), Video("/d.mp4")]
    together, expected = ChainedVideos([plain, [], table, plain]), [*plain, *table, *plain]
    assert list(together) == expected
    assert [together[row] for row in range(-6, 6)] == [*expected, *expected]
    assert together[1:5:2] == expected[1:5:2]
    assert class_names(together) == ["x", "y", "z"]
    with pytest.raises(IndexError):
        together[6]
    data = ClipDataset(together, ClipSampling(4), eval_transform(8), 0)
    assert data._labels.tolist() == [2, -1, 0, 1, 2, -1]
    assert list(Mapped(len, [[1], []])) == [1, 0]
    assert Mapped(len, [[1], []])[0] == 1
