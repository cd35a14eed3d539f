"""Long flights are measured once: `viewsynth evaluate flyover` keeps them and goes on."""

from __future__ import annotations

import json

import torch
from test_evaluate_flyover import HEIGHT, TINY, WIDTH, photo_folder

from infinite_view.refiner import Refiner
from pipelines.evaluation import flyover as job


def test_flights_are_kept_and_a_run_goes_on(tmp_path, monkeypatch):
    photo_folder(tmp_path / "data/landscape_photos", 6, 1)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for name in ("model", "other"):
            Refiner(TINY).eval().save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    words = ["--weights", "model", "--data", "data", "--cache", "kept", "--frames", "20", "--flights-only"]
    words += ["--flight-size", f"{HEIGHT}x{WIDTH}", "--photos"]
    flown, fly = [], job.record

    def counted(*args):
        flown.append(args)
        return fly(*args)

    monkeypatch.setattr(job, "record", counted)
    job.main([*words, "1", "--json", "one.json"])
    assert len(flown) == 1
    job.main([*words, "2", "--json", "two.json"])
    assert len(flown) == 2  # the first is there
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert one["flights"]["b0"] == two["flights"]["b0"] and one["flights"]["b0"]["SWD, late / early"] > 0
    assert not one["worlds"] and not one["speed"] and len(one["targets"]) == 6
    # Other weights are another flight.
    job.main([*words, "1", "--weights", "other"])
    assert len(flown) == 3
