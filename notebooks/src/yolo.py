# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** This detector finds objects of several kinds in your images (cell types, dividing and resting cells, bacteria, organelles), puts a box around each and says how sure it is. It looks at the image on grids of several widths: fine ones for small objects, coarse ones for large objects, and each point of a grid answers for at most one object around it. It works on single images (2D) of any size, with any number of channels and any bit depth.
#
# **What it cannot do.** A box is no outline: areas, shapes and intensities cannot be measured from it. Objects of quite another size, in pixels, than those you trained with are missed. And it begins from nothing, without having seen millions of photographs: with a few images it stays behind what large ready-made detectors reach.
#
# **What to expect.** On the 72 test images of blood cells of BCCD, twelve minutes of training on two CPU cores, from nothing, gave a mean average precision at 0.5 of about 0.87. Small YOLOs that begin with weights learned from photographs are published with about 0.90 to 0.92 there, on other splits. With a GPU, section 3 proposes a larger network, less downscaling and 200 epochs, about a hundred times as much computing; how near that comes has not been measured yet.
#
# **When to choose it.** When you want to count objects and tell *kinds* of them apart, since drawing boxes takes a tenth of the time of outlines. Where you need the outline of each object, choose StarDist; where all objects are of one kind and bright on dark, the classical method beside which section 6 puts the network may do.
#
# **What you need.** About 50 to 200 images, with a few dozen boxes of every kind at least. *Every* object of a kind needs its box: one without teaches the network to overlook others like it.
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
nb = Notebook("yolo")

# %% [markdown]
# ## 2 Your images
#
# Put the images into one folder and the boxes into another, with the same file names:
#
# ```
# my_project/
#   images/   field_01.tif   field_02.tif   ...
#   boxes/    field_01.xml   field_02.xml   ...
# ```
#
# These are read: Pascal VOC (`.xml`), YOLO (`.txt`, with the names in `classes.txt` or `data.yaml`), COCO (one `.json` for the folder), ImageJ ROIs (`field_01_RoiSet.zip`; the group or the name of a ROI is its kind), tables (`.csv` with the columns image, class, y0, x0, y1, x1, in pixels), and label images, of which every object becomes a box. **How to make them:** in Fiji draw rectangles, give each kind a group (*Properties > Group*), press `T` for each, and save them in the ROI manager as a zip file named like the image; or use *labelImg*, *CVAT* or *Label Studio* and export VOC, YOLO or COCO. Draw the box tightly around the object, also where the border of the image cuts it.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_detect",  # example data; your own folders below take its place
    "source": "",  # folder of images
    "target": "",  # folder of boxes
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads every file and names those that would spoil the training: missing partners, boxes outside the image or without area, boxes drawn twice, kinds whose names differ by a letter, images without any box, kinds of which there are hardly any. {{include: _shared/check.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Look at the boxes: does every object have one, is it tight, and has it the right kind? Boxes that are all shifted by the same amount were drawn on another version of the image.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# The values below were filled in from your boxes, with the reason beside each. Leave them as they are for the first training. *Downscaling* is the most useful one to know: where the smallest objects are still dozens of pixels across, the network works on a smaller copy of the image and learns several times faster; the boxes stay in pixels of your images.

# %% Settings
nb.settings()

# %% [markdown]
# **Augmentation** shows the network mirrored, turned, brighter and noisier copies of your images, and mosaics of parts of four images, so that fewer annotated ones suffice. Look at the copies: each should still look like an image that your microscope could have taken, with its boxes where they belong. Switch off what never happens to your images.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}} With few images a network that has learned similar objects before is worth far more than a longer training.

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# {{include: _shared/train.md}} In the beginning nothing is found; then the most frequent kind appears, and rare ones long after it. The loss says little here: look at the average precision on the validation images (`val_map50`).

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# A found box counts when it overlaps a true one of its kind by at least one half (IoU, the area that both share over the area that either covers). **AP at 0.5** of a kind is the area under its precision-recall curve: it looks at all thresholds at once, and 1 means that all objects were found before anything else was. **mAP** is its mean over the kinds, and **mAP at 0.5 to 0.95** also asks for tight boxes. For your counts look at the *confusion matrix* and at the bias of the *counts*, which use the one threshold that was chosen on the validation images.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} New images should have the same pixel size as the training images. If too few objects come out, lower the *confidence threshold*; if too many, raise it.
#
# Of each image you get **`_boxes.csv`** (a row an object: its kind, the box in pixels, its centre, how sure the network was; columns ending in `_um` are in micrometres, where the pixel size is known), **`_RoiSet.zip`** (drop it on Fiji after the image, and the ROI Manager opens), **`.txt`** (YOLO, with the names in `classes.txt`) and a picture with the boxes drawn. All images together are in `boxes_coco.json` (COCO).

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}} The package gives one map a grid; how boxes are read from them is written in its README, and other programs that open it show these maps as they are.

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
