"""Noise2Void on volumes with the blind spots of n2v, and with ours: how many, and what is learned from them.

n2v takes the side of a box for one blind spot to be the square root of its volume, in 3D too, and so hides
far fewer voxels than its parameter says. Both train the same network from the same weights, on patches of
4 x 64 x 64 voxels of simulated filaments of which 0.198 % are meant to be hidden; PSNR is taken against the
noise-free volume. Usage: python benchmarks/blind_spots.py [STEPS]
"""

import contextlib
import io
import sys
from types import SimpleNamespace

import numpy as np

from zcdl_common import networks
from zcdl_common.metrics.images import scores
from zcdl_common.samples.restore import noisy_filaments
from zcdl_common.scales import Fixed
from zcdl_common.task import Facts, Sample
from zcdl_common.tiles import predict_whole

PATCH, SHARE, BATCH, RATE = (4, 64, 64), 0.00198, 4, 1e-3


def untrained(seed):
    """The same network for both."""
    network = networks.get("noise2void")
    params = {"depth": 1, "filters": 8, "batch_norm": False, "augment": False, "masked_share": SHARE}
    params |= {"patch_size": PATCH, "batch_size": BATCH, "learning_rate": RATE, "seed": seed}
    extra = {"target_channels": ("c",), "target_offset": (0.0,), "target_span": (1.0,)}
    return network.build(network.Config.parse(params), Facts(3, ("c",), (PATCH,), "float32", extra=extra))


def ours(model, images, seed):
    samples = [Sample("s", "s", SimpleNamespace(read=lambda a=a: a)) for a in images]
    for step in range(10**6):
        yield model.batch(samples, np.random.default_rng([seed, step]))


def n2v(model, images, seed):
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_uniform_withCP

    np.random.seed(seed)
    x, values = np.stack(images), pm_uniform_withCP(model.config.radius)
    both = np.concatenate([x, np.zeros_like(x)], axis=-1)
    with contextlib.redirect_stdout(io.StringIO()):
        made = N2V_DataWrapper(
            x, both, BATCH, 10**6, perc_pix=100 * SHARE, shape=PATCH, value_manipulation=values
        )
    for step in range(10**6):
        source, target = made[step]
        yield {"source": source.copy(), "target": target.copy()}


def main(steps):
    rng = np.random.default_rng(0)
    pairs = [noisy_filaments(rng, (16, 128, 128), (0.3, 0.1, 0.1)) for _ in range(4)]
    noisy, clean = (
        [array[..., None].astype(np.float32) for array in part] for part in zip(*pairs, strict=True)
    )
    scale = Fixed.mean_std(noisy)
    images = [scale(image) for image in noisy]
    meant, psnr = SHARE * np.prod(PATCH), scores(clean[0], noisy[0])["psnr"]
    print(f"meant: {meant:.1f} voxels a patch; input {psnr:.1f} dB")
    for seed in (0, 1):
        for batches in (n2v, ours):
            model, hidden, found = untrained(seed), [], []
            for step, batch in zip(range(1, steps + 1), batches(model, images, seed), strict=False):
                hidden.append(batch["target"][..., 1].sum() / BATCH)
                model.step(batch, RATE)
                if step % (steps // 4) == 0:
                    (made,) = predict_whole(model.forward, images[0], model.geometry)
                    found.append(f"{scores(clean[0], made)['psnr']:.1f}")
            said = f"{batches.__name__:4} hides {np.mean(hidden):4.1f}; PSNR at quarters of {steps} steps"
            print(f"seed {seed}: {said}", *found, "dB", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 160)
