"""Models that are there before training are judged as the stardist package itself would judge them."""

import contextlib
import io
import json
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from zcdl_common import model_folders, networks, ready_made
from zcdl_common.data import open_data
from zcdl_common.errors import RunError
from zcdl_common.measure import measure
from zcdl_common.models.stardist import StarDistModel
from zcdl_common.networks.stardist import StarDistConfig
from zcdl_common.task import Facts, Sample

NETWORK = networks.get("stardist")


def discs(seed, shape=(72, 80), count=8):
    """Noisy image uint16 of bright discs on a slope, and their labels."""
    rng = np.random.default_rng(seed)
    labels, axes = np.zeros(shape, np.int32), np.indices(shape)
    for number in range(1, count + 1):
        centre = rng.uniform(6, np.array(shape) - 6)
        labels[((axes.T - centre).T ** 2).sum(0) < 49] = number
    labels = np.unique(labels, return_inverse=True)[1].reshape(shape)
    image = 300 + 4 * axes[1] + 400 * (labels > 0) + rng.normal(0, 60, shape)
    return image.clip(0).astype(np.uint16), labels.astype(np.uint16)


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """A model folder as stardist writes it, of a network that has learned something."""
    from stardist.models import Config2D, StarDist2D

    facts = Facts(2, ("c",), ((72, 80),), "uint16", extra={})
    params = {"n_rays": 16, "grid": (2, 2), "depth": 1, "filters": 8, "patch_size": (64, 64), "batch_size": 4}
    params |= {"learning_rate": 3e-3, "seed": 1}
    model = StarDistModel(StarDistConfig.parse(params), facts)
    scale = NETWORK.scale(facts)
    pairs = [discs(seed) for seed in range(100, 106)]
    samples = [
        Sample(str(n), str(n), *(SimpleNamespace(read=lambda a=a: a) for a in (scale(i[..., None]), t)))
        for n, (i, t) in enumerate(pairs)
    ]
    for n in range(130):
        model.step(model.batch(samples, np.random.default_rng(n)), 3e-3)
    config = Config2D(
        "YX", n_rays=16, grid=(2, 2), unet_n_depth=1, unet_n_filter_base=8, net_conv_after_unet=32
    )
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = StarDist2D(config, name="theirs", basedir=str(tmp_path_factory.mktemp("models")))
    theirs.keras_model.set_weights(model.net.get_weights())
    theirs.keras_model.save_weights(str(theirs.logdir / "weights_best.h5"))
    (theirs.logdir / "thresholds.json").write_text('{"prob": 0.35, "nms": 0.3}')
    return theirs.logdir


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """No internet, and an empty place for ready-made models."""
    monkeypatch.setenv("ZCDL_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(ready_made, "answers", lambda url, seconds: False)
    return tmp_path / "cache" / "models"


@pytest.fixture
def put(cache, learned):
    """Put the model into the cache under a name, with other words in its config."""

    def into(name, **changes):
        shutil.copytree(learned, cache / name)
        path = cache / name / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return into


@pytest.fixture
def prepared(make, tmp_path):
    """Images on disk with their division and facts; the test images cannot be read."""

    def prepare(n=6, **params):
        for i in range(n):
            image, labels = discs(i)
            make.write(tmp_path / "images" / f"n{i}.tif", image)
            make.write(tmp_path / "labels" / f"n{i}.tif", labels)
        folders = {"source": str(tmp_path / "images"), "target": str(tmp_path / "labels")}
        config = StarDistConfig.parse({**folders, **params})
        data = open_data(config, NETWORK)
        facts = measure(data, config, NETWORK, "cpu")
        unread = SimpleNamespace(path=tmp_path / "never")
        test = tuple(replace(s, source=unread, target=unread) for s in data.split.test)
        assert test
        return config, facts, replace(data.split, test=test)

    return prepare


def expected(folder, samples):
    """What stardist's own prediction and matching say: mean AP at 0.5 and 0.7."""
    from csbdeep.utils import normalize
    from stardist.matching import matching
    from stardist.models import StarDist2D

    with contextlib.redirect_stdout(io.StringIO()):
        model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
    found = [model.predict_instances(normalize(s.source.read()[..., 0], 1, 99.8))[0] for s in samples]
    return [
        np.mean(
            [
                matching(s.target.read()[..., 0], f, thresh=t).accuracy
                for s, f in zip(samples, found, strict=True)
            ]
        )
        for t in (0.5, 0.7)
    ]


def quiet(text):
    pass


def test_a_model_at_hand_is_judged_as_stardist_judges_it(put, cache, learned, prepared):
    put("2D_versatile_fluo")
    config, facts, split = prepared()
    rows, sentences = ready_made.judge(NETWORK, config, facts, split, quiet)
    ap50, ap70 = expected(learned, split.validation)
    assert 0.2 < ap50 < 1 and ap70 < ap50
    own, classical = rows
    assert own == {
        "method": "ready-made model 2D_versatile_fluo",
        "AP at IoU 0.5": f"{ap50:.2f}",
        "AP at IoU 0.7": f"{ap70:.2f}",
    }
    assert "watershed" in classical["method"]
    other = float(classical["AP at IoU 0.5"])
    verdict, proposal = sentences
    assert f"2D_versatile_fluo {'already ' * bool(ap50 >= max(other, 0.5))}reaches {ap50:.2f} here" in verdict
    assert f"(the classical method {other:.2f}; 1 validation image)" in verdict
    assert "Only 4 training images" in proposal and "set start_from = 2D_versatile_fluo" in proposal


@pytest.mark.parametrize(
    ("own", "other", "said"), [(0.81, 0.73, "already"), (0.7, 0.9, "own images"), (0.2, 0.1, "own images")]
)
def test_only_a_good_model_that_beats_the_classical_method_is_called_enough(own, other, said):
    best = SimpleNamespace(title="ready-made model x")
    assert said in ready_made._verdict(best, own, other, "AP", "2 validation images")


@pytest.mark.parametrize(
    ("count", "own", "start", "said"),
    [(30, 0.4, "", True), (31, 0.4, "", False), (5, 0.4, "x", False), (5, 0.0, "", False)],
)
def test_fine_tuning_is_proposed_with_few_images_and_a_model_that_finds_something(count, own, start, said):
    facts = Facts(2, ("c",), (), "uint16", counts={"train": count})
    best = SimpleNamespace(name="2D_demo")
    assert bool(ready_made._proposal(best, own, StarDistConfig.parse({"start_from": start}), facts)) == said


def test_without_any_model_one_sentence_says_how_to_get_one_and_nothing_is_tuned(cache, prepared):
    config, facts, split = prepared()
    rows, sentences = ready_made.judge(NETWORK, config, facts, replace(split, train=(), validation=()), quiet)
    assert rows == [] and len(sentences) == 1
    assert "python_2D_versatile_fluo.zip elsewhere, unpack it" in sentences[0]


def test_a_server_that_stays_silent_is_not_waited_for(cache, prepared, monkeypatch):
    import socket

    from zcdl_common.download import answers

    silent = socket.create_server(("127.0.0.1", 0))
    begin = time.monotonic()
    assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}/model.zip", 0.3)
    silent.close()
    assert not answers("http://127.0.0.1:9/model.zip", 0.3)
    assert time.monotonic() - begin < 2


def test_models_for_other_images_are_named_and_left_out(put, cache, prepared):
    put("2D_versatile_he", n_channel_in=3)
    put("3D_demo", n_dim=3)
    put("2D_paper_dsb2018", n_classes=2)
    config, facts, split = prepared()
    rows, sentences = ready_made.judge(NETWORK, config, facts, split, quiet)
    assert rows == [] and len(sentences) == 4  # and one for the model that could not be fetched
    said = "\n".join(sentences)
    assert "2D_versatile_he: it is for images of 3 channels, yours have 1" in said
    assert "3D_demo: it is for 3D images, yours are 2D" in said and "several kinds" in said


def test_a_folder_named_under_start_from_is_judged_and_nothing_is_proposed(cache, learned, prepared):
    config, facts, split = prepared(start_from=str(learned), n_rays=32, depth=2)
    rows, sentences = ready_made.judge(NETWORK, config, facts, split, quiet)
    assert rows[0]["method"] == "model theirs" and len(rows) == 2
    assert rows[0]["AP at IoU 0.5"] == f"{expected(learned, split.validation)[0]:.2f}"
    assert not [text for text in sentences if "fine-tuning" in text]


def test_an_earlier_run_is_judged_with_its_own_thresholds(cache, learned, prepared, tmp_path):
    from zcdl_common import predict as use
    from zcdl_common import session
    from zcdl_common.metrics.instances import scores

    tiny = {"epochs": 1, "patches_per_image": 2, "batch_size": 2, "learning_rate": 1e-6}
    folders = {"source": str(tmp_path / "images"), "target": str(tmp_path / "labels")}
    prepared()
    begun = {"start_from": str(learned), "name": "before", "results": str(tmp_path / "runs")}
    config = StarDistConfig.parse({**folders, **tiny, **begun})
    ready = session.prepare(NETWORK, config, open_data(config, NETWORK))
    run = session.begin(ready)
    session.train(run, ready.data)
    run.quality_control.mkdir(exist_ok=True)
    (run.quality_control / "settings.json").write_text('{"prob_thresh": 0.2, "nms_thresh": 0.3}')
    again = config.changed(start_from=str(run.folder), seed=3)
    split = replace(ready.data.split, validation=ready.data.split.train[:2])
    rows, sentences = ready_made.judge(NETWORK, again, ready.facts, split, quiet)
    found = [use.predict(run, run.load(), s.source.read()).main for s in split.validation]
    ap = [scores(s.target.read()[..., 0], f)["ap50"] for s, f in zip(split.validation, found, strict=True)]
    assert np.mean(ap) > 0.1
    assert rows[0] == {**rows[0], "method": "earlier run before", "AP at IoU 0.5": f"{np.mean(ap):.2f}"}
    assert any("has learned from some of these very images" in text for text in sentences)


def test_a_start_that_is_nowhere_is_an_error_and_not_a_remark(cache, prepared, tmp_path):
    config, facts, split = prepared(start_from=str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match="nothing at this path"):
        ready_made.judge(NETWORK, config, facts, split, quiet)


def test_when_time_is_up_all_methods_have_seen_the_same_images(put, cache, prepared, monkeypatch):
    put("2D_demo")
    config, facts, split = prepared()
    monkeypatch.setattr(ready_made, "SECONDS", -1.0)
    split = replace(split, validation=split.train)
    _, sentences = ready_made.judge(NETWORK, config, facts, split, quiet)
    assert "; 1 validation image)" in " ".join(sentences)


def test_large_images_are_judged_on_their_middle(put, cache, prepared, monkeypatch):
    put("2D_demo")
    config, facts, split = prepared()
    monkeypatch.setattr(ready_made, "LARGEST", {2: (64, 64)})
    _, sentences = ready_made.judge(NETWORK, config, facts, split, quiet)
    assert "(the middle of large ones)" in " ".join(sentences)


def test_section_4_shows_the_table(put, cache, prepared, tmp_path, capsys):
    from zcdl_common.notebook import Notebook

    put("2D_versatile_fluo")
    config, _, _ = prepared()
    nb = Notebook("stardist")
    nb.images({"source": config.source, "target": config.target, "results": str(tmp_path / "runs")})
    nb.starting_weights()
    shown = capsys.readouterr().out
    assert "ready-made model 2D_versatile_fluo  0." in shown and "fine-tuning is proposed first" in shown


@pytest.mark.parametrize(
    ("ndim", "channels", "name"),
    [(2, 1, "2D_versatile_fluo"), (2, 3, "2D_versatile_he"), (3, 1, "3D_demo"), (2, 2, ""), (3, 2, "")],
)
def test_the_model_that_is_fetched_suits_the_images(ndim, channels, name):
    assert NETWORK.ready_made(Facts(ndim, ("c",) * channels, (), "uint8")) == name
    assert not name or name in model_folders.READY_MADE
