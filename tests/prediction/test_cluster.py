"""Grading and preparation on real Ray clusters.

They run in processes of their own, so that Ray's warnings do not become errors. Those that start Ray are slow, because
it takes ten seconds to start.
"""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from edge_fixtures import change, spoil
from places import ROOT
from preparation import content
from written import closing_counts

from keras_dr.core.errors import KerasDrError
from keras_dr.core.quality import COLOURS, MEASURES
from keras_dr.prediction.cluster import GradingJob, PartGrader, grade_on_cluster
from keras_dr.prediction.photograph_list import split_list, write_list
from keras_dr.prediction.predict import predict
from keras_dr.workers.ray_cluster import check_engine, connected

COUNT = 24


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.fixture
def folder(tmp_path: Path, photographs: Path) -> Path:
    """A folder of 24 photographs, and a file that is not an image."""
    (tmp_path / "in").mkdir()
    for image in sorted((photographs / "images").iterdir())[:COUNT]:
        (tmp_path / "in" / image.name).symlink_to(image)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    return tmp_path / "in"


def rows_of(out: Path) -> list[dict[str, str]]:
    rows = []
    for part in sorted(out.glob("part-*.csv")):
        with part.open(newline="", encoding="utf-8") as stream:
            rows += list(csv.DictReader(stream))
    return rows


def same_as_locally(out: Path, bundle: Path, folder: Path) -> bool:
    """Whether the parts hold each photograph once, with exactly the numbers of the local engine."""
    local = predict(bundle, sorted(folder.iterdir()))
    expected = {g.path: [repr(g.p_referable), g.grade, g.action] for g in local.gradings}
    expected |= {path: ["", "", ""] for path, _ in local.failures}
    rows = [(row["path"], [row["p_referable"], row["prediction"], row["action"]]) for row in rows_of(out)]
    return len(rows) == len(expected) == COUNT + 1 and dict(rows) == expected


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(KerasDrError, match=r"requirements-ray\.txt"), connected(None, 1):
        pass


def test_an_address_is_accepted_for_ray_only() -> None:
    with pytest.raises(KerasDrError, match="--engine ray"):
        check_engine("litert", ("litert", "ray"), "here:6379")


def test_a_model_is_tried_before_workers_load_it(bundle_folder: Path, folder: Path, tmp_path: Path) -> None:
    spoil(bundle_folder)
    with pytest.raises(KerasDrError, match="does not run"):
        grade_on_cluster(bundle_folder, [folder], tmp_path / "out.csv")
    assert not list(tmp_path.glob("*out.csv*"))


def test_a_part_says_which_photographs_have_unusual_colours(bundle_folder: Path, folder: Path, tmp_path: Path) -> None:
    usual = {name: [-1e9, 1e9] for name in MEASURES}
    change(bundle_folder, quality_limits=usual, colour_limits={name: [50, 99] for name in COLOURS})
    write_list([next(folder.glob("*.jpg")), folder / "broken.png"], tmp_path / "_photographs.jsonl")
    (part,) = split_list(tmp_path / "_photographs.jsonl")
    PartGrader(GradingJob(bundle_folder, tmp_path, ".csv"))(part)
    graded, failed = rows_of(tmp_path)
    assert (graded["unfamiliar"], failed["unfamiliar"]) == ("less red;less blue", "") and failed["error"]


TWO_NODES = """
import sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from keras_dr.prediction.cluster import grade_on_cluster

if __name__ == "__main__":
    bundle, folder, out = map(Path, sys.argv[1:])
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=small | {"include_dashboard": False})
    cluster.add_node(**small)
    killed = []

    def kill_the_other(done, total):
        if done and not killed:
            here = ray.get_runtime_context().get_node_id()
            killed.extend(node for node in cluster.list_all_nodes() if node.node_id != here)
            cluster.remove_node(killed[0], allow_graceful=False)
            while sum(node["Alive"] for node in ray.nodes()) > 1:  # otherwise this node may finish before Ray notices
                time.sleep(0.1)
            time.sleep(1)

    counts = grade_on_cluster(bundle, [folder], out, address=cluster.address, part_size=3, progress=kill_the_other)
    assert len(killed) == 1 and (counts.photographs, counts.failed) == (25, 1), counts
    cluster.shutdown()
"""


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_a_retry(bundle_folder: Path, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "script.py").write_text(TWO_NODES)
    done = run(tmp_path / "script.py", bundle_folder, folder, tmp_path / "out.csv")
    assert done.returncode == 0 and "A worker was lost" in done.stderr, done.stderr
    assert same_as_locally(tmp_path / "out.csv", bundle_folder, folder)


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_dr.prediction.cluster import grade_on_cluster

if __name__ == "__main__":
    bundle, folder, out = map(Path, sys.argv[1:])
    die = lambda done, total: done and os.kill(os.getpid(), signal.SIGKILL)
    grade_on_cluster(bundle, [folder], out, workers=1, progress=die)
"""


@pytest.mark.slow
def test_a_killed_command_continues(bundle_folder: Path, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "script.py").write_text(KILLED)
    for number in range(20):  # more than the 32 photographs of a part
        (folder / f"more-{number}.png").write_bytes(b"no image")
    done = run(tmp_path / "script.py", bundle_folder, folder, tmp_path / "out.csv")
    assert done.returncode == -signal.SIGKILL, done.stderr
    first = tmp_path / ".out.csv.partial" / "part-000000.csv"
    before = first.stat().st_mtime_ns
    (folder / "late.png").write_bytes(b"no image")
    done = run(ROOT / "cli.py", "predict", bundle_folder, folder, "--engine", "ray", "--out", tmp_path / "out.csv")
    assert done.returncode == 1, done.stderr
    counts, rows = closing_counts(done.stdout), rows_of(tmp_path / "out.csv")
    assert (counts["given"], counts["failed"]) == (45, 21) == (len(rows), sum(bool(row["error"]) for row in rows))
    assert (tmp_path / "out.csv" / first.name).stat().st_mtime_ns == before
    assert [row["path"] for row in rows] == sorted(map(str, set(folder.iterdir()) - {folder / "late.png"}))


FRAGILE = """
import os
from keras_dr.workers.ray_cluster import connected, map_on_cluster

def fragile(item):
    if item == 3:
        os._exit(1)
    return 2 * item

def full(item):
    raise OSError(28, "No space left on device")

if __name__ == "__main__":
    results = dict(map_on_cluster(fragile, range(6), workers=2))
    assert results == {item: None if item == 3 else 2 * item for item in range(6)}, results
    try:
        list(map_on_cluster(full, range(6), workers=1))
    except OSError as error:
        assert error.errno == 28 and type(error) is OSError
"""


@pytest.mark.slow
def test_an_item_that_kills_its_workers_fails_alone_and_errors_are_raised_unchanged(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "script.py").write_text(FRAGILE)
    done = run(tmp_path / "script.py")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_prepare_gives_the_same_bytes(photographs: Path, prepared_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    target = tmp_path / "small"
    done = run(ROOT / "cli.py", "prepare", photographs, target, "--size", 32, "--engine", "ray", "--workers", 2)
    assert done.returncode == 0, done.stderr
    on_cluster = content(target)
    local = content(prepared_folder)
    names = on_cluster.keys() | local.keys()
    assert {name for name in names if on_cluster.get(name) != local.get(name)} <= {"prepared.json"}
