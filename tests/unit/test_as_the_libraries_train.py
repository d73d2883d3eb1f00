"""The libraries' own ``train``, with their own generators, beside `fit` on the batches that these made."""

import numpy as np
import pytest

from zcdl_common import networks
from zcdl_common.fit import fit
from zcdl_common.models import _keras
from zcdl_common.models import noise2void as _noise2void  # noqa: F401 - gives n2v the NumPy it needs
from zcdl_common.patches import Prepared
from zcdl_common.task import Facts, Sample

RATE, BATCH, EPOCHS, STEPS = 1e-3, 2, 3, 4
FLAT = (2.0, 1.0, 1.0)
SHARED = {"depth": 1, "filters": 4, "batch_size": BATCH, "learning_rate": RATE}


def build(name, ndim, **params):
    names = ("c0",)
    extra = {"target_channels": names, "target_offset": (0.0,), "target_span": (1.0,)}
    extra |= {"extents": (9.0,) * ndim, "anisotropy": (1.0,) * ndim, "objects": 20}
    facts = Facts(ndim, names, ((16,) * ndim,), "uint16", counts={"train": 2}, extra=extra)
    network = networks.get(name)
    return network.build(network.Config.parse({"patch_size": (16,) * ndim, **SHARED, **params}), facts)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sample(source, target):
    class Ready(Prepared):
        def read(self):
            return self.make()

    return Sample("s", "s", *(Ready(None, lambda a=a: a, None) for a in (source, target)))


def objects(shape, seed):
    """Noisy image and labels of blocks."""
    labels, rng = np.zeros(shape, np.int32), np.random.default_rng(seed)
    for number in range(1, 7):
        corner = rng.integers(0, np.array(shape) - 6)
        labels[tuple(slice(c, c + 6) for c in corner)] = number
    return (labels > 0) + 0.3 * noise(*shape, seed=seed), labels


@pytest.fixture
def heard(monkeypatch):
    """Every batch that a library's generator makes, in order: ``heard(class) -> list``.

    The library trains on copies, since n2v's generator writes every batch into the same arrays.
    """

    def listen(kind):
        kept, make = [], kind.__getitem__

        def keep(self, i):
            x, y = (
                [np.array(a) for a in part] if isinstance(part, list | tuple) else np.array(part)
                for part in make(self, i)
            )
            kept.append([a for part in (x, y) for a in (part if isinstance(part, list) else [part])])
            return x, y

        monkeypatch.setattr(kind, "__getitem__", keep)
        return kept

    return listen


def ours(model, made, validation=()):
    """What `fit` writes for the batches of a library: the losses table."""
    names, rows = ("source", *model.targets), iter(made)
    model.batch = lambda samples, rng: dict(zip(names, next(rows), strict=True))
    if not validation:
        model.validate = lambda samples: {}
    history = []
    fit(model, [None], validation, epochs=EPOCHS, steps=STEPS, rate=lambda _: RATE, seed=0, history=history)
    return history


def same(history, theirs, model, net, columns):
    for column in columns:
        np.testing.assert_allclose([row[column] for row in history], theirs.history[column], rtol=1e-5)
    for one, other in zip(model.net.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("ndim", "loss"), [(2, "laplace"), (3, "mae")])
def test_care_learns_as_its_library_does(ndim, loss, heard):
    from csbdeep.internals.train import DataWrapper
    from csbdeep.models import CARE, Config

    model = build("care", ndim, loss=loss, residual=True)
    library = CARE(
        Config(
            "ZYX"[-ndim:], unet_n_depth=1, unet_n_first=4, unet_kern_size=3, train_loss=loss,
            probabilistic=loss == "laplace", train_batch_size=BATCH, train_learning_rate=RATE,
            train_epochs=EPOCHS, train_steps_per_epoch=STEPS, train_reduce_lr=None, train_tensorboard=False,
        ),
        basedir=None,
    )  # fmt: skip
    library.prepare_for_training()
    library.keras_model.set_weights(model.net.get_weights())
    x, y, held_x, held_y = (noise(n, *(16,) * ndim, 1, seed=n + s) for n in (6, 2) for s in (0, 1))
    made = heard(DataWrapper)
    np.random.seed(0)
    theirs = library.train(x, y, (held_x, held_y))
    history = ours(model, made, [sample(*pair) for pair in zip(held_x, held_y, strict=True)])
    same(history, theirs, model, library.keras_model, ("loss", "val_loss"))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_noise2void_learns_as_its_library_does(batch_norm, heard, tmp_path, monkeypatch):
    """In 2D: in 3D the library hides too few voxels, see test_blindspot.py."""
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.models import N2V, N2VConfig, n2v_standard

    # n2v draws pictures for TensorBoard even where train_tensorboard is off, which needs that package
    monkeypatch.setattr(
        n2v_standard, "CARETensorBoardImage", lambda **kwargs: _keras.tf.keras.callbacks.Callback()
    )

    model = build("noise2void", 2, batch_norm=batch_norm)
    x, held = noise(6, 20, 20, 1), noise(2, 16, 16, 1, seed=1)
    config = N2VConfig(
        x, unet_n_depth=1, unet_n_first=4, unet_kern_size=3, batch_norm=batch_norm, train_loss="mse",
        train_batch_size=BATCH, train_learning_rate=RATE, train_epochs=EPOCHS, train_steps_per_epoch=STEPS,
        train_reduce_lr=None, train_tensorboard=False, train_checkpoint=None, n2v_patch_shape=(16, 16),
        n2v_perc_pix=5, n2v_manipulator="uniform_withCP",
    )  # fmt: skip
    library = N2V(config, "n2v", basedir=str(tmp_path))
    library.prepare_for_training()
    library.keras_model.set_weights(model.net.get_weights())
    made = heard(N2V_DataWrapper)
    np.random.seed(0)
    theirs = library.train(x, held)
    same(ours(model, made), theirs, model, library.keras_model, ("loss",))


@pytest.mark.parametrize("ndim", [2, 3])
def test_stardist_learns_as_its_library_does(ndim, heard):
    from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D
    from stardist.models.model2d import StarDistData2D
    from stardist.models.model3d import StarDistData3D
    from stardist.rays3d import Rays_GoldenSpiral

    plan = {"n_rays": 8, "grid": (1, 2, 2)[-ndim:]}
    model = build(
        "stardist", ndim, distance_weight=0.2, **plan, **({"anisotropy": FLAT} if ndim == 3 else {})
    )
    settings = {
        "grid": plan["grid"], "unet_n_depth": 1, "unet_n_filter_base": 4, "net_conv_after_unet": 16,
        "train_patch_size": (16,) * ndim, "train_batch_size": BATCH, "train_learning_rate": RATE,
        "train_reduce_lr": None, "train_tensorboard": False,
    }  # fmt: skip
    if ndim == 2:
        library, generator = StarDist2D(Config2D("YX", n_rays=8, **settings), basedir=None), StarDistData2D
    else:
        rays = Rays_GoldenSpiral(8, anisotropy=FLAT)
        config = Config3D("ZYX", rays=rays, anisotropy=FLAT, **settings)
        library, generator = StarDist3D(config, basedir=None), StarDistData3D
    library.prepare_for_training()
    library.keras_model.set_weights(model.net.get_weights())
    images, labels = zip(*(objects((24,) * ndim, seed) for seed in range(4)), strict=True)
    held = objects((16,) * ndim, 9)
    made = heard(generator)
    theirs = library.train(
        images, labels, ([held[0]], [held[1]]), seed=0, epochs=EPOCHS, steps_per_epoch=STEPS
    )
    history = ours(model, made[1:], [sample(held[0][..., None], held[1])])  # their first one is validation
    same(history, theirs, model, library.keras_model, ("loss", "val_loss"))
