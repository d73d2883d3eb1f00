# %% [markdown]
# # {{network.title}}
#
# {{badge}}
#
# **What it does.** Single-molecule microscopy (PALM, STORM, DNA-PAINT) records thousands of frames in which a few molecules blink, finds the centre of each blink, and draws all centres into one image that is ten times sharper than the microscope. This network finds the centres also where blinks *overlap*, so that more molecules may be on at once and a recording takes minutes instead of an hour. It needs no annotated images: it learns from frames that are simulated to be like yours, of which every position is known.
#
# **What it cannot do.** It measures positions in the plane, neither depth nor brightness. It knows only blinks like those it learned from: another microscope, camera or laser power needs a training of its own, which takes minutes. And a sharp picture is no proof: where frames are so crowded that blinks melt into a carpet, every method draws lines that look better than they are.
#
# **When to choose it.** When blinks overlap in many frames. Where they lie far apart, fitting each one by itself (the classical method beside which section 6 puts the network, or ThunderSTORM) is as good, and also tells how precise each position is.
#
# **What you need.** The raw movies, as the camera wrote them (no averaging, no filter, no background removed), how large a camera pixel is in the sample, and which camera it was.
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
nb = Notebook("deepstorm")

# %% [markdown]
# ## 2 Your images
#
# Put the movies into one folder:
#
# ```
# my_project/
#   movies/      cell_1.tif   cell_2.tif   ...
#   positions/   cell_1.csv   ...              (only if you know where the molecules are)
# ```
#
# A movie is a TIFF stack of frames (*axes*: `TYX`; where the file does not say so, set it under *More settings*). Set *pixel size* to what a camera pixel covers in the sample, in micrometres (0.1 is usual), where the file does not say it. Choose the *camera*, and type in the *offset*: the grey value of a frame taken in the dark.
#
# Positions are rarely known, and are not needed. Where they are (a simulation, another program's result), their tables are read as ThunderSTORM, SMAP and Picasso write them; they judge the network in section 6. With *learn from* = table it learns from them, too: then it can become as good as that program, hardly better.
#
# {{include: _shared/images.md}}

# %% Parameters tags=["parameters"]
params = {
    "dataset": "sim_localise",  # example data; your own folder below takes its place
    "source": "",  # folder of movies
    "target": "",  # folder of tables with known positions, if there are any
    "results": "",  # empty: on your Drive in Colab, else ./zcdl_runs
    "name": "",  # empty: network and date
}

# %% Choose the images
nb.images(params)

# %% [markdown]
# The check reads the movies and names what would spoil the training: saturated frames, a stack in Z, an unknown pixel size, tables of another movie or in other units. {{include: _shared/check.md}}

# %% Check the images
nb.check()

# %% [markdown]
# Below are simulated frames that the network will be tested on, with the true positions. They were made to be like your movies; section 3 shows both side by side.

# %% Look at the images
nb.look()

# %% [markdown]
# ## 3 Settings
#
# How many molecules are on at once, how bright and wide they are and what lies behind them was measured in your movies: frames were simulated, measured in the same way, and changed until both agreed. The network will know what lies within these ranges, so rather widen than narrow them. *Upsampling* is how many pixels of the network's map lie along a camera pixel: finer needs a GPU.

# %% Settings
nb.settings()

# %% [markdown]
# **Are simulated frames like the real ones?** This decides whether the network can be trusted on your movies, more than anything in section 6. Both are shown side by side in the same grey values, with what was measured in each; where they differ, the text says which value to change in section 3. Then follow patches that the network will see, with the true positions.

# %% Preview
nb.preview()

# %% [markdown]
# ## 4 Starting weights
#
# {{include: _shared/weights.md}} A network that was trained for the same microscope at another density is a good start.

# %% Starting weights
nb.starting_weights()

# %% [markdown]
# ## 5 Train
#
# {{include: _shared/train.md}} Every step sees new simulated frames, so nothing can be learned by heart. Look at `val_jaccard`: the share of molecules that are found, among all that are found, missed or invented.

# %% Train
nb.train()

# %% [markdown]
# ## 6 Quality control
#
# {{include: _shared/judge.md}}
#
# A found and a true position count as one where they lie within 250 nm, each in one pair at most. The **Jaccard index** is the share of such pairs among all positions, true or found; **RMSE** is their distance, in nanometres. In crowded frames 250 nm is generous: points thrown at random would already reach 0.3 and more, so look at the Jaccard index at **100 and 50 nm** too, and at the curves over density. On simulated frames this judges how well the network does *if your movies are like them*.

# %% Quality control
nb.judge()

# %% [markdown]
# ## 7 Use on new images
#
# {{include: _shared/use.md}} Without a folder, the movies of section 2 are used. The *threshold* trades missed molecules for invented ones.
#
# Of each movie you get **`_localisations.csv`** (opens in Fiji: *Plugins > ThunderSTORM > Import/Export > Import results*), where the sample drifted also the drift and a corrected table, **`_rendered.ome.tif`** (the super-resolved image with its pixel size: how many molecules lie in each fine pixel) and `_rendered_gaussian.ome.tif` (the same, each drawn as wide as positions were off in simulated frames) beside **`_widefield.ome.tif`** (the mean of the frames, what a plain microscope shows), a picture of both, and in **`_quality.csv`** what can be said without knowing the truth: the resolution by Fourier ring correlation (how far two halves of the frames draw the same image), and how well the rendered image, blurred back, explains the widefield image. The error map shows where it does not.

# %% Choose model and images
nb.use()

# %% Predict
nb.predict()

# %% [markdown]
# ## 8 Export
#
# {{include: _shared/export.md}} The package gives the network's map of each frame, upsampled; how positions are read from it is written in its README.

# %% Name and licence
nb.package()

# %% Export
nb.export()

# %% [markdown]
# ## Cite, licence, help
#
# {{include: _shared/cite.md}}
