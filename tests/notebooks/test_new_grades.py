"""When there is something new to learn from."""

from pathlib import Path

from grades import WINES  # notebooks/grades.py
from new_grades import new_grades  # notebooks/new_grades.py

from wine_serving.registry import DATASET, GRADES
from wine_serving.registry.folder import FolderRegistry


def test_grades_are_new_until_a_dataset_was_made_from_them(folder: FolderRegistry, tmp_path: Path) -> None:
    """Having asked tasters is no news; what they said is, once."""

    def published(name: str, inputs: tuple[str, ...] = (), **files: str) -> str:
        place = tmp_path / f"{name}-{len(folder.records(name))}"
        place.mkdir()
        for file, content in files.items():
            (place / {"wines": WINES}.get(file, file)).write_text(content)
        return folder.publish(place, name, kind="dataset", inputs=inputs).ref

    published(GRADES, asked="30 wines")
    assert new_grades(folder) is None
    graded = published(GRADES, asked="30 wines", wines="one grade")
    assert new_grades(folder) == graded
    published(DATASET, (graded,), data="with that grade")
    assert new_grades(folder) is None
    published(GRADES, asked="60 wines", wines="one grade")
    assert new_grades(folder) is None
    assert published(GRADES, asked="60 wines", wines="two grades") == new_grades(folder)
