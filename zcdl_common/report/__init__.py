"""The report of a run: one web page and one PDF, rewritten after every section."""

from __future__ import annotations

from pathlib import Path

from zcdl_common.network import Network


def write_report(
    run_folder: Path, network: Network | None = None, *, judged: Path | None = None
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf`` into a run folder, from whatever the folder holds.

    Parameters
    ----------
    run_folder
        The run folder. Any part may be missing: the report says which section makes it.
    network
        The network of the run; None: the one that config.yaml names.
    judged
        Folder of the quality control to report; None: ``quality_control``.

    Returns
    -------
    tuple[Path, Path]
        The web page and the PDF.

    Raises
    ------
    RunError
        The folder does not exist.
    """
    from zcdl_common.files import replacing, write_text
    from zcdl_common.report.contents import contents
    from zcdl_common.report.html import html
    from zcdl_common.report.pdf import write_pdf
    from zcdl_common.report.record import read_record

    record = read_record(Path(run_folder), network, judged)
    blocks = contents(record)
    title = f"{record.folder.name}: {record.title}"
    page, document = record.folder / "report.html", record.folder / "report.pdf"
    write_text(page, html(title, blocks))
    with replacing(document) as temporary:
        write_pdf(temporary, title, blocks)
    return page, document
