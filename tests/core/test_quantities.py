import pytest

from services.core.quantities import bytes_of, cores_of, in_bytes


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("40Gi", 40 * 2**30),
        ("4 gib", 4 * 2**30),
        ("1.5GB", 1_500_000_000),
        ("512M", 512_000_000),
        ("2Ti", 2**41),
        ("64Ki", 65_536),
        ("1000", 1_000),
        (4096, 4_096),
        (1.5e9, 1_500_000_000),
    ],
)
def test_an_amount_of_memory_is_a_number_with_a_unit(written: object, amount: int) -> None:
    assert bytes_of(written) == amount


@pytest.mark.parametrize(
    "written",
    ["", "lots", "-4Gi", "0", "4 Gi of it", "1e9", "9" * 400, "NaN", None, True, [], -1, float("inf"), 10**40],
)
def test_what_is_no_amount_of_memory_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="amount of memory"):
        bytes_of(written)


@pytest.mark.parametrize(("written", "cores"), [("500m", 0.5), ("4", 4), ("1.5", 1.5), (2, 2), (0.25, 0.25)])
def test_cores_are_a_number_or_thousandths(written: object, cores: float) -> None:
    assert cores_of(written) == cores


@pytest.mark.parametrize("written", ["", "four", "-1", "0", "1.5k", "2Gi", None, False, float("nan"), "9" * 30])
def test_what_is_no_number_of_cores_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="CPU cores"):
        cores_of(written)


@pytest.mark.parametrize(
    ("amount", "text"), [(40 * 2**30, "40Gi"), (3 * 2**29, "1.5Gi"), (300 * 2**20, "300Mi"), (2**41, "2Ti"), (12, "12")]
)
def test_an_amount_is_said_in_the_largest_unit(amount: int, text: str) -> None:
    assert in_bytes(amount) == text
