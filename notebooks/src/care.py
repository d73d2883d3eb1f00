# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** CARE (content-aware image restoration) learns from pairs of images of the same field: a poor one as you must take it in the experiment (little light, short exposure, fast) and a good one as you wish it were. Afterwards it turns new poor images into estimates of good ones. It works on single images (2D) and on stacks (3D), with any number of channels and any bit depth.
#
# **What it cannot do.** It cannot bring back what the microscope did not record. Where the poor image holds no trace of a detail, CARE guesses from what your good images usually show, and the guess looks as crisp as the truth. Do not count or measure structures that only the restored image shows; the section on quality control and the map of uncertainty (`loss = laplace`) help to see where it guesses.
#
# **When to choose it.** When you can take pairs: image fixed samples, or the same field twice, once with little and once with much light. Without clean images use the Noise2Void notebook. Try a classical filter first: section 6 tells you whether the network is better on *your* images.
#
# **What you need.** About 20 to 100 pairs of images that show the same field pixel by pixel, taken with all the conditions that you want to restore.
#
# {{include: _shared/which_sections.md}}

# %% [markdown]
# ## 1 Start
#
# {{include: _shared/start.md}}

# %% Install
import importlib.util
if importlib.util.find_spec("zcdl_common") is None:
    {{install}}

# %% Start
from zcdl_common.notebook import Notebook
nb = Notebook("care")

# %% [markdown]
# ## 2 Your images
#
# Put the poor images into one folder and the good ones into another, with the same file names:
#
# ```
# my_project/
#   low/    field_01.tif   field_02.tif   ...
#   high/   field_01.tif   field_02.tif   ...
# ```
#
# The two images of a pair have the same size; bit depth and brightness may differ. **How to take pairs:** fix the sample, or choose one that does not move; take the poor image first (the good one bleaches), then the good one, without touching stage or focus. Half a pixel of drift already blurs what the network learns; the check below measures the shift of every pair and tells you how to correct it in Fiji.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_restore_2d",  # example data; your own folders below take its place
    "source": "",  # folder of poor images
    "target": "",  # folder of good images
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads every file and names those that would spoil the training: missing partners, different sizes, pairs that are shifted or do not belong together, exchanged folders. {{include: _shared/check.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Look at the pairs: the same structures at the same places, above with noise, below without? If the lower image shows things that the upper one holds no trace of, the network will learn to invent them.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. What usually pays off later: more `epochs` while the validation loss still falls, and more pairs. Choose `laplace` as the loss to get a map of uncertainty with every restored image.

# %% Settings
nb.settings()

# %% [markdown]
# **Augmentation** shows the network mirrored and turned copies of your pairs. Brightness and noise stay as they are: they are what the network is to learn. Changes of size and elastic deformation interpolate pixels, which smooths noise; they are off unless you switch them on.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}} A model folder that the package csbdeep wrote, also in the ZeroCostDL4Mic notebook of CARE, does as well; where its network differs from the one planned here, the message names the settings to change.

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# {{include: _shared/train.md}}

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# Before anything is compared, brightness and contrast of each result are fitted to the good image, for the network, the classical filter and the poor image alike. **PSNR** (in dB) says how small the squared error is: 3 dB more is half the error. **SSIM** compares local structure, 1 is equal. **NRMSE** is the root of the mean squared error, divided by the brightness range; **Pearson's r** the correlation. None of them knows whether an invented detail matters: look at the error maps, and at the structures that you want to measure.
#
# Two more numbers need no good image. **Resolution** (decorrelation analysis) is the size of the finest detail that stands out. **Unsupported pixels** are those where the restored image shows, or lacks, more than the noise of the poor image can explain; `quality_control/maps/*_unsupported.tif` shows where (bright: shown without support, dark: lost). Of stacks, `quality_control/slices.csv` holds the scores of every plane.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} Restored images have the brightness units of your good images, with 32 bits.

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}} For Fiji's CSBDeep plugin take `tf_saved_model.zip` out of the package; it scales all channels of an image together, so it stands in the table for images of one channel only.

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
