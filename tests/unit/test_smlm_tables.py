"""Localisation tables, as the programs write them."""

import numpy as np
import pandas as pd
import pytest

from zcdl_common.errors import DataError
from zcdl_common.samples.store import write_positions
from zcdl_common.smlm.emitters import Emitters
from zcdl_common.smlm.localisations import Localisations, check_fit
from zcdl_common.smlm.tables import read, write

PIXEL = (0.1, 0.1)
"""100 nm."""

THUNDERSTORM = """"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty_xy [nm]"
1,1,250.0,150.0,130.0,1000.5,12.0
2,3,1050.0,50.0,120.0,800.0,15.0
"""
PLAIN = "frame,x [nm],y [nm]\n1,250.0,150.0\n3,1050.0,50.0\n"
PIXELS = "id,frame,x [px],y [px]\n1,1,2.5,1.5\n2,3,10.5,0.5\n"
MICROMETRES = "frame;x [µm];y [µm]\n1;0.25;0.15\n3;1.05;0.05\n"
SMAP = "frame,xnm,ynm,phot,locprecnm,PSFxnm\n1,300,200,1000.5,12,130\n3,1100,100,800,15,120\n"
PICASSO = (
    "frame,x,y,photons,sx,sy,bg,lpx,lpy\n0,2,1,1000.5,1.3,1.3,5,0.12,0.12\n2,10,0,800,1.2,1.2,5,0.15,0.15\n"
)


def saved(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [THUNDERSTORM, PLAIN, PIXELS, MICROMETRES, SMAP, PICASSO])
def test_every_program_means_the_same_places(tmp_path, text):
    # molecules at the centres of the pixels (1, 2) and (0, 10) of the frames 0 and 2
    found = read(saved(tmp_path, text), PIXEL)
    np.testing.assert_allclose(found.yx, [[1.5, 2.5], [0.5, 10.5]])
    np.testing.assert_array_equal(found.frame, [0, 2])
    assert found.frame.dtype == np.int64


@pytest.mark.parametrize("text", [THUNDERSTORM, SMAP, PICASSO])
def test_spread_and_uncertainty_become_pixels(tmp_path, text):
    found = read(saved(tmp_path, text), PIXEL)
    np.testing.assert_allclose(found.photons, [1000.5, 800])
    np.testing.assert_allclose(found.sigma, [1.3, 1.2])
    np.testing.assert_allclose(found.uncertainty, [0.12, 0.15])


def test_picassos_hdf5_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "movie_locs.hdf5", "w") as file:
        file["locs"] = pd.read_csv(saved(tmp_path, PICASSO)).to_records(index=False)
        file["locs"].attrs["made by"] = "a test"
    found = read(tmp_path / "movie_locs.hdf5")  # in pixels: no pixel size is needed
    np.testing.assert_allclose(found.yx, [[1.5, 2.5], [0.5, 10.5]])
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["clusters"] = [1]
    with pytest.raises(DataError, match=r"clusters.*not the table locs"):
        read(tmp_path / "other.hdf5")


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.1, 2, 50) for name in ("photons", "confidence", "sigma", "uncertainty")}
    found = Localisations(rng.integers(0, 400, 50), rng.uniform(0, 64, (50, 2)), **values)
    pixel = (0.117, 0.107)
    again = read(write(tmp_path / "out.csv", found, pixel), pixel)
    np.testing.assert_array_equal(again.frame, found.frame)
    np.testing.assert_allclose(again.yx, found.yx, atol=1e-5)
    for name, value in values.items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-5)


def test_a_written_table_has_the_columns_of_thunderstorm(tmp_path):
    found = Localisations(np.array([0, 2]), np.array([[1.5, 2.5], [0.5, 10.5]]), sigma=np.array([1.3, 1.2]))
    lines = write(tmp_path / "out.csv", found, PIXEL).read_text().splitlines()
    assert lines == ["id,frame,x [nm],y [nm],sigma [nm]", "1,1,250,150,130", "2,3,1050,50,120"]


def test_the_simulated_samples_are_read(tmp_path):
    rng = np.random.default_rng(0)
    places, photons = rng.uniform(0, 64, (30, 2)), rng.uniform(200, 900, 30)
    truth = Emitters(rng.integers(0, 8, 30), places, photons, np.full(30, 1.3))
    write_positions(tmp_path / "s.csv", truth, PIXEL)
    found = read(tmp_path / "s.csv", PIXEL)
    np.testing.assert_allclose(found.yx, truth.yx, atol=1e-5)
    np.testing.assert_array_equal(found.frame, truth.frame)
    np.testing.assert_allclose(found.sigma, 1.3)


def test_a_table_may_be_empty(tmp_path):
    found = read(saved(tmp_path, THUNDERSTORM.splitlines()[0] + "\n"), PIXEL)
    assert len(found) == 0 and found.yx.shape == (0, 2)
    check_fit(found, 10, (64, 64), "table.csv")
    assert len(read(write(tmp_path / "out.csv", found, PIXEL), PIXEL)) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frame,x,y\n1,2,3\n", r"without a unit.*'x \[nm\]'"),
        ("frame,a,b\n1,2,3\n", r"'frame', 'a', 'b'.*ThunderSTORM"),
        ("x [nm],y [nm]\n2,3\n", "no column frame"),
        ('frame,x [nm],y [nm]\n1,"2,5",3\n', r"2,5 in column 'x \[nm\]' of row 1.*decimal points"),
        ("frame,x [nm],y [nm]\n1,2,3\n2,,3\n", r"nan in column 'x \[nm\]' of row 2"),
        ("frame,x [nm],y [nm]\n1.5,2,3\n", "whole numbers"),
        ("frame,x [nm],y [nm]\n0,2,3\n", "add 1 to its column frame"),
        ("", "cannot be read as a table"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read(saved(tmp_path, text), PIXEL)


def test_bytes_that_are_no_text_are_said(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00x" * 20)
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(tmp_path / "table.csv", PIXEL)


@pytest.mark.parametrize("size", [None, (0.0, 0.0)])
def test_nanometres_need_a_pixel_size(tmp_path, size):
    with pytest.raises(DataError, match=r"in nm.*Set pixel_size in micrometres"):
        read(saved(tmp_path, PLAIN), size)
    assert len(read(saved(tmp_path, PIXELS))) == 2


def test_frames_may_be_counted_from_elsewhere(tmp_path):
    found = read(saved(tmp_path, PLAIN.replace("\n1,", "\n0,")), PIXEL, first_frame=0)
    np.testing.assert_array_equal(found.frame, [0, 3])


def test_a_table_of_other_units_or_another_stack_does_not_fit(tmp_path):
    found = read(saved(tmp_path, PLAIN), PIXEL)
    check_fit(found, 3, (8, 11), "table.csv")
    with pytest.raises(DataError, match=r"frame 3, the stack has 2"):
        check_fit(found, 2, (8, 11), "table.csv")
    wrong = read(saved(tmp_path, PLAIN), (0.001, 0.001))  # nanometres given as micrometres
    with pytest.raises(DataError, match=r"100% of the positions.*reach y = 150, x = 1050.*pixel_size"):
        check_fit(wrong, 3, (8, 11), "table.csv")


def test_a_selection_keeps_all_columns(tmp_path):
    found = read(saved(tmp_path, THUNDERSTORM), PIXEL)
    one = found.select(found.frame == 2)
    assert len(one) == 1 and one.photons[0] == 800 and one.uncertainty[0] == 0.15 and one.confidence is None
