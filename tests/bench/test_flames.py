"""What a sampler has seen is told of the process that did the work, from where the event loop called it."""

import pytest

from bench.flames import Place, read, svg

API = 'process 1:"python -m bench";process 7:"python -m catalog serve"'
LOOP = f"{API};_run (asyncio/runners.py:118)"
STACKS = "\n".join(
    [
        f"{LOOP};serve (catalog/api/app.py:9);send (h11/a.py:1) 60",
        f"{LOOP};serve (catalog/api/app.py:12);read (psycopg/b.py:2) 40",
        f"{API};run (threading.py:1);_worker (concurrent/futures/thread.py:81) 500",
        'process 1:"python -m bench";main (bench/__main__.py:3);step (indexer/scans.py:4) 30',
        'process 1:"python -m bench";main (bench/__main__.py:3);send (bench/stand.py:4) 300',
    ]
)


def test_the_stacks_of_one_process_are_merged_by_function_and_idle_threads_left_out() -> None:
    root = read(STACKS, Place())
    ((name, serve),) = root.below.items()
    below = {name: frame.samples for name, frame in serve.below.items()}
    assert (root.samples, name) == (100, "serve (catalog/api/app.py)")
    assert below == {"send (h11/a.py)": 60, "read (psycopg/b.py)": 40}


def test_a_bench_that_works_in_its_own_process_is_told_of_by_what_it_is_about() -> None:
    root = read(STACKS, Place("-m bench", "indexer/"))
    assert (root.samples, list(root.below)) == (30, ["main (bench/__main__.py)"])


@pytest.mark.parametrize("told", ["serve (catalog/api/app.py): 100.0%", "send (h11/a.py): 60.0%", ">B4<"])
def test_the_picture_names_each_function_with_its_share(told: str) -> None:
    assert told in svg(read(STACKS, Place()), "B4")
