"""The verbs of a notebook: each cell is one of these calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zcdl_common import checkup, display, networks, places, preview, session, show, weights
from zcdl_common.config import Config, read_params
from zcdl_common.data import Data, open_data
from zcdl_common.errors import DataError, RunError
from zcdl_common.parameter import Section
from zcdl_common.run import Run, newest_runs, open_run
from zcdl_common.session import Prepared


class Notebook:
    """One notebook at work. What must survive a restart lies in the run folder, not here."""

    def __init__(self, network: str):
        self.network = networks.get(network)
        self.params: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        """The parameters cell as it was when section 2 last ran."""
        self._data: tuple[dict[str, Any], Data] | None = None
        self._prepared: tuple[dict[str, Any], Prepared] | None = None
        self._checked: dict[str, Any] | None = None
        """Parameters of the images that were checked last."""
        self._run: Run | None = None
        if "ZCDL_PARAMS" in os.environ:  # read once: later reads would undo what the user edits
            self.params = read_params(Path(os.environ["ZCDL_PARAMS"]), network)
            self._from_file = True
        else:
            self._from_file = False
        places.mount_drive()
        display.explain_missing_cell()
        show.start(self.network)

    @property
    def config(self) -> Config:
        """The parameters as they stand now, checked."""
        return self.network.Config.parse(self.params)

    # -- 2 Your images ----------------------------------------------------------------------------

    def images(self, params: Mapping[str, Any]) -> None:
        """Take the parameters of the cell above and show the form of this section."""
        if self._from_file:
            self.config  # noqa: B018 - wrong parameters are named here, not an hour later
        else:
            # what was typed into the form stays, unless the cell now says another thing
            said = {name for name in {**self._last, **params} if self._last.get(name) != params.get(name)}
            taken = {n: v for n, v in self.params.items() if n not in said}
            taken |= {n: v for n, v in params.items() if n in said}
            self.network.Config.parse(taken)
            self._last = dict(params)
            self.params.clear()  # the same dict: the forms that are open write into it
            self.params.update(taken)
        self._form("images")

    def check(self) -> None:
        """Find, pair and examine the images; wrong ones are named with what to do."""
        data = self.data
        self._checked = self._images()
        show.data(self.network, data)
        report = checkup.examine(data, self.network, self.config)
        show.findings(report)
        if report.errors:
            raise DataError(
                f"{report.summary()} See above what to do about each file, then run this cell again"
                + (", or run nb.repair() for mended copies." if report.repairable else ".")
            )

    def repair(self) -> None:
        """Write mended copies of the files that can be mended, and use them from now on."""
        from zcdl_common import doctor

        report = checkup.examine(self.data, self.network, self.config)
        folder = (
            places.results_folder(self.config.results) / f"{self.config.name or self.network.name}_repaired"
        )
        for line in doctor.repair(self.data.samples, report, folder):
            print(line)
        self.params["repaired"] = str(folder)
        print(f"Repaired copies in {folder} are used from now on. Run the check again.")

    def look(self) -> None:
        """Pictures of images with their targets."""
        show.pairs(self.network, self.data)

    # -- 3 Settings, 4 Starting weights -----------------------------------------------------------

    def settings(self) -> None:
        """The training parameters, filled from the images, with the reason beside each value."""
        try:
            show.measured(self.prepared)  # measuring also fills the automatic values of the form
        finally:  # a value that does not fit the images is mended in the form, so that must be there
            self._form("settings", "augmentation", "training")
        if places.headless():  # the form says the same beside each field
            show.plan(self.prepared)

    def preview(self) -> None:
        """Patches before and after augmentation, and how long training will take here."""
        preview.preview(self.prepared)

    def starting_weights(self) -> None:
        """Choose weights to begin with; models that are at hand are judged on the validation images."""
        self._form("weights")
        if self.config.start_from:
            weights.check(self.config)
            if said := weights.about(self.config):
                display.line(said)
        if self.network.ready_made:
            show.ready_made(session.judge_ready_made(self.prepared, display.say()))

    # -- 5 Train, 6 Quality control ---------------------------------------------------------------

    def train(self) -> None:
        """Train, or go on where training stopped."""
        if self._checked != self._images():  # an hour of training on wrong pairs helps nobody
            self.check()
        prepared = self.prepared
        self._run = run = session.begin(prepared)
        show.training_begins(run, prepared.data)
        display.line(session.train(run, prepared.data, show.listeners(run, prepared.data), display.say()))
        show.trained(run)
        session.report(run)

    def judge(self) -> None:
        """Quality control on images that the network never saw, beside a classical method."""
        run = self.run
        summary = session.judge(run, display.say(), self.config)
        show.judged(run, summary)
        session.report(run)

    # -- 7 Use on new images, 8 Export ------------------------------------------------------------

    def use(self) -> None:
        """Choose the model and the images to use it on."""
        self._form("use")

    def predict(self) -> None:
        """Predict every image of the chosen folder; without one, the test images."""
        run = self.run
        source = self.config.predict_source or session.test_folder(run)
        show.predicted(run, session.apply(run, source, say=display.say()))
        session.report(run)

    def package(self) -> None:
        """Choose name and licence of the exported model."""
        self._form("export")

    def export(self) -> None:
        """Write a package for the BioImage Model Zoo, tested before it is handed out."""
        run = self.run
        show.exported(session.export(run, say=display.say()))
        session.report(run)
        show.finished(run)

    def download(self, what: str = "run") -> Path:
        """Pack the run, or its "predictions", into a zip; on Colab it is sent to your computer."""
        return places.download(self.run.folder if what == "run" else self.run.folder / what)

    # -- what the cells share ---------------------------------------------------------------------

    @property
    def data(self) -> Data:
        """Images of the present parameters, found again when those change."""
        if self._data is None or self._data[0] != self.params:
            self._data = (dict(self.params), open_data(self.config, self.network))
        return self._data[1]

    @property
    def prepared(self) -> Prepared:
        """Images measured and parameters planned."""
        if self._prepared is None or self._prepared[0] != self.params:
            self._prepared = (dict(self.params), session.prepare(self.network, self.config, self.data))
        return self._prepared[1]

    @property
    def run(self) -> Run:
        """The run that sections 6 to 8 work with, also in a fresh kernel."""
        config = self.config
        if config.model:
            return session.chosen_model(config)
        if self._run is not None:
            return session.with_use(self._run, config)
        results = places.results_folder(config.results)
        if config.name and (results / config.name / "config.yaml").exists():
            return session.with_use(open_run(results / config.name), config)
        found = newest_runs(results, self.network.name)
        hint = f" The newest one here is {found[0]}: set model to it." if found else ""
        raise RunError(
            "No trained model is chosen. Train one in section 5, or name the folder of a finished run under "
            f"'model'.{hint}"
        )

    def _images(self) -> dict[str, Any]:
        """What the parameters say of the images."""
        names = self.network.Config.fields("images")
        return {name: value for name, value in self.params.items() if name in names}

    def _form(self, *sections: Section) -> None:
        if places.headless():
            return
        from zcdl_common.form import Form

        Form(self.network.Config, self.params, sections, self._planned()).show()

    def _planned(self) -> dict[str, tuple[Any, str]]:
        """Automatic values and their reasons, where the images are known already."""
        if self._prepared is None:
            return {}
        _, prepared = self._prepared
        return {k: (getattr(prepared.planned, k), why) for k, why in prepared.reasons.items()}
