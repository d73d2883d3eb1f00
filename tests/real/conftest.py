import pytest

ROWS = []


@pytest.fixture(scope="session")
def table():
    """Rows that end up in one table below the tests."""
    return ROWS


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("real images")
    head = ("images", "score", "network", "classical", "method", "verdict", "epochs", "seconds")
    lines = [head] + [
        (name, score, f"{a:.3f}", f"{b:.3f}", method, verdict, str(epochs), f"{seconds:.0f}")
        for name, score, a, b, method, verdict, epochs, seconds in ROWS
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        terminalreporter.write_line(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        )
