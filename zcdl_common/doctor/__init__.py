"""Checks a data set before an hour is spent on it; repairs a copy."""

from zcdl_common.doctor.examine import check
from zcdl_common.doctor.findings import Finding, Report
from zcdl_common.doctor.masks import Mask, measure_mask
from zcdl_common.doctor.repair import repair

__all__ = ["Finding", "Mask", "Report", "check", "measure_mask", "repair"]
