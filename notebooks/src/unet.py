# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** A U-Net looks at an image and says for every pixel whether it belongs to the background or to one of the structures that you have outlined in example images: nuclei, membranes, mitochondria, tissue layers. It works on single images (2D) and on stacks (3D), with any number of channels.
#
# **What it cannot do.** It does not tell one nucleus from the next where they touch; StarDist is made for that, in a notebook of its own. It knows only what your examples show: on images from another microscope, stain or tissue it may fail without a warning, so judge it on such images before you rely on it.
#
# **When to choose it.** Try a threshold first. If a threshold does the job, you do not need a network: section 6 tells you whether the network is better on *your* images.
#
# **What you need.** About 10 to 50 images in which you have painted or outlined the structure, each with its mask.
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
nb = Notebook("unet")

# %% [markdown]
# ## 2 Your images
#
# Put your images into one folder and their masks into another, with the same file names:
#
# ```
# my_project/
#   images/   cell_01.tif   cell_02.tif   ...
#   masks/    cell_01.tif   cell_02.tif   ...
# ```
#
# A **mask** is an image of the same size: 0 where there is background, another number where there is structure (one number a class, for example 1 = nucleus, 2 = cytoplasm). ImageJ ROIs (`cell_01.zip` or `cell_01_RoiSet.zip` from the ROI Manager) and QuPath GeoJSON do as well.
#
# **How to annotate in Fiji:** open an image, draw around every structure with the freehand tool and press `t` each time; then *ROI Manager > More > Save...* as `cell_01.zip` beside the other masks. **In Labkit** (Fiji, *Plugins > Labkit*): paint foreground, then *Segmentation > Save Label as TIF*. Outline *every* structure in an image; what you leave out, the network learns as background.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "nuclei_2d",  # example data; your own folders below take its place
    "source": "",  # folder of images
    "target": "",  # folder of masks
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose images and masks
nb.images(params)

# %% [markdown]
# The check reads every file and names those that would spoil the training. {{include: _shared/check.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Look at the outlines: do they lie on the structures? A mask that is shifted or belongs to another image teaches the network nonsense.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your images, with the reason beside each. Leave them as they are for the first training. What usually pays off later: more `epochs` while the validation loss still falls, a larger `patch_size` where the structure needs more surroundings to be recognised, and the `dice` or `focal` loss where the structure covers only a few pixels.

# %% Settings
nb.settings()

# %% [markdown]
# **Augmentation** shows the network changed copies of your patches, so that few images teach more. The changed copies must still look like images that your microscope could have made: if they do not, switch that part off above.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}}

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
# **IoU** (intersection over union) is the area that truth and prediction share, divided by the area that either covers: 1 is perfect, 0 is no overlap. **Dice** says the same on another scale. *Precision* is the share of the found pixels that are right, *recall* the share of the true pixels that were found. None of them says whether touching objects were kept apart, and small structures weigh little: look at the pictures too.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}}

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}}

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
