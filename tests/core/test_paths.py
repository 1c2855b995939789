import pytest

from services.core.paths import BadPath, Limits, clean_path


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("train.py", "train.py"),
        ("./src//model.py", "src/model.py"),
        ("src/./a b/ü.txt/", "src/a b/ü.txt"),
        ("...", "..."),
        ("a\\b", "a\\b"),
    ],
)
def test_a_path_gets_one_spelling(given: str, clean: str) -> None:
    assert clean_path(given) == clean
    assert clean_path(clean) == clean


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "names no file"),
        ("./", "names no file"),
        ("/etc/passwd", "absolute"),
        ("../x", "'..'"),
        ("a/../../x", "'..'"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x9bb", "control character"),
        ("x\u202egpj.exe", "control character"),
        ("\udcff.txt", "not UTF-8"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join("a" * 33), "33 levels deep"),
        ("/".join(["a" * 250] * 5), "longer than 1024 bytes"),
    ],
)
def test_a_path_that_could_do_harm_is_refused_with_the_reason(path: str, says: str) -> None:
    with pytest.raises(BadPath, match=says):
        clean_path(path)


def test_the_limits_can_be_narrower() -> None:
    with pytest.raises(BadPath, match="at most 1"):
        clean_path("a/b", Limits(depth=1))
