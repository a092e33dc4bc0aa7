"""A source is understood and said back, or refused with the choices: one test for each way in which sources mislead."""

import unicodedata
from pathlib import Path

import pytest
from layouts import put

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import APPLE_DOUBLE
from keras_dr.datasets.inspection import Inspection, inspect
from keras_dr.datasets.options import parse_options

GRADES = ("no_dr", "mild", "moderate", "severe", "proliferative")


def table(folder: Path, header: str, *rows: str, name: str = "labels.csv", images: str = "images") -> Path:
    """A table, and a photograph for the first cell of each row."""
    put(folder / name, "\n".join([header, *rows, ""]))
    for row in rows:
        cell = row.split(",")[0]
        put(folder / images / (cell if "." in cell else f"{cell}.jpg"))
    return folder


def classes(folder: Path, *names: str, photographs: tuple[str, ...] = ("a", "b")) -> Path:
    for name in names:
        for photograph in photographs:
            put(folder / name / f"{name.replace('/', '_')}_{photograph}.jpg")
    return folder


def look(source: Path, dataset: str = "auto", task: str = "auto", **options: object) -> Inspection:
    return inspect(source, dataset, task, parse_options(**options))  # type: ignore[arg-type]


def said(found: Inspection) -> str:
    """What an inspection says, in one line."""
    return " ".join(str(found).split())


def counted(found: Inspection) -> dict[str, int]:
    """Class -> photographs."""
    counts: dict[str, int] = {}
    for _, name, count in found.labels.taken:
        counts[name] = counts.get(name, 0) + count
    return counts


class TestAmbiguousMatches:
    """Two readings are refused, both named, with the option that chooses."""

    @pytest.fixture
    def numbered_anew(self, tmp_path: Path) -> Path:
        """One table beside two folders in each of which the numbering begins anew."""
        put(tmp_path / "set" / "testing.csv", "Image name,Retinopathy grade\nIDRiD_001,4\nIDRiD_002,0\n")
        for folder in ("a. Training Set", "b. Testing Set"):
            for number in (1, 2):
                put(tmp_path / "elsewhere" / folder / f"IDRiD_{number:03d}.jpg")
            (tmp_path / "set").mkdir(exist_ok=True)
            (tmp_path / "set" / folder).symlink_to(tmp_path / "elsewhere" / folder)
        return tmp_path / "set"

    def test_a_name_that_two_folders_have(self, numbered_anew: Path) -> None:
        message = r"'IDRiD_001' may be a. Training Set/.* or b. Testing Set/.*--images"
        with pytest.raises(KerasDrError, match=message):
            inspect(numbered_anew)
        found = look(numbered_anew, images=Path("b. Testing Set"))
        assert {record.path.parent.name for record in found.records} == {"b. Testing Set"}

    def test_two_suffixes_of_one_name(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0", "b,4")
        put(tmp_path / "images" / "b.png")
        with pytest.raises(KerasDrError, match=r"'b' may be images/b\.jpg or images/b\.png"):
            inspect(tmp_path)
        put(tmp_path / "labels.csv", "image,grade\na,0\nb.png,4\n")
        assert inspect(tmp_path).records[1].path.name == "b.png"

    def test_two_columns_that_may_hold_the_class(self, tmp_path: Path) -> None:
        table(tmp_path, "image,level,diagnosis", "a,0,0", "b,4,2")
        with pytest.raises(KerasDrError, match=r"'level' or 'diagnosis' .* line 3 .*--label-column"):
            inspect(tmp_path)
        assert [record.grade for record in look(tmp_path, label_column="Diagnosis").records] == [0, 2]

    def test_two_columns_that_say_the_same_are_one(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade,diagnosis", "a,0,No DR", "b,4,PDR")
        assert [record.grade for record in inspect(tmp_path).records] == [0, 4]

    def test_a_label_column_of_eyes_is_the_eye(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,label,dr_grade", "a,left,0", "b,right,4"))
        assert [(record.grade, record.eye) for record in found.records] == [(0, "left"), (4, "right")]
        assert "class: dr_grade; patient: none; eye: label" in said(found)

    def test_two_tables(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0", "b,4")
        table(tmp_path, "image,grade", "a,1", "b,2", name="second_reader.csv")
        with pytest.raises(KerasDrError, match=r"labels.csv and second_reader.csv\. Name the CSV"):
            inspect(tmp_path)

    def test_two_levels_of_class_folders(self, tmp_path: Path) -> None:
        classes(tmp_path, "Lima/0", "Lima/4", "Cusco/0", "Cusco/4")
        with pytest.raises(KerasDrError, match=r"folders Cusco, Lima, or those in them, 0, 4.*--classes"):
            inspect(tmp_path)
        found = look(tmp_path, classes="0,4", positive="4")
        assert counted(found) == {"0": 4, "4": 4} and len({r.image_id for r in found.records}) == 8


class TestColumns:
    """Columns are found whatever their spelling; those that are not used are named."""

    def test_published_split_and_patients(self, tmp_path: Path) -> None:
        rows = [f"i{n},{n % 5},P{n // 2},{('Train', 'Train', 'Public', 'Private')[n // 2 % 4]}" for n in range(16)]
        found = inspect(table(tmp_path, "Image,Retinopathy grade,Patient ID,Usage", *rows))
        assert found.patients == 8 and "8, from column Patient ID" in said(found)
        splits = [record.split for record in found.records]
        assert (splits.count("train"), splits.count("test")) == (8, 8)

    def test_unused_columns_are_named(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,grade,camera,Risk of macular edema", "a,0,x,1", "b,3,y,0"))
        assert "not used: camera, Risk of macular edema" in said(found)

    def test_an_index_without_a_name_is_no_data(self, tmp_path: Path) -> None:
        put(tmp_path / "labels.csv", ",image,grade\n0,a,0\n1,b,4\n")
        for name in "ab":
            put(tmp_path / f"{name}.jpg")
        found = inspect(tmp_path)
        assert [(record.patient_id, record.split) for record in found.records] == [("a", ""), ("b", "")]
        assert "1 without a name" in said(found)

    def test_an_index_takes_no_photograph_of_messidor(self, tmp_path: Path) -> None:
        put(tmp_path / "messidor_data.csv", ",image_id,adjudicated_dr_grade\n0,a.png,2\n1,b.png,0\n")
        for name in "ab":
            put(tmp_path / f"{name}.png")
        assert [record.grade for record in inspect(tmp_path).records] == [2, 0]

    def test_columns_of_other_names_are_chosen(self, tmp_path: Path) -> None:
        table(tmp_path, "Foto,Befund,Person,Auge,Menge", "a,0,7,OD,train", "b,3,7,OS,test", "c,2,8,OS,val")
        with pytest.raises(KerasDrError, match=r"it has Foto, .*'Foto' holds names of files .*--image-column Foto"):
            look(tmp_path, label_column="Befund")
        columns = {"image_column": "foto", "label_column": "BEFUND", "patient_column": "Person"}
        found = look(tmp_path, eye_column="Auge", split_column="Menge", **columns)
        records = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in found.records]
        assert records[:2] == [("a", 0, "7", "right", "train"), ("b", 3, "7", "left", "test")]

    def test_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0")
        with pytest.raises(KerasDrError, match=r"no column 'x'; it has image, grade\. Correct --patient-column"):
            look(tmp_path, patient_column="x")

    def test_a_split_that_is_none_may_be_left_out(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade,set", "a,0,camera 1", "b,3,camera 2")
        with pytest.raises(KerasDrError, match="--split-column none"):
            inspect(tmp_path)
        assert {record.split for record in look(tmp_path, split_column="none").records} == {""}


class TestPatients:
    """Two eyes are of one patient, whatever says so; where nothing does, that is said."""

    PAIR = ("1000_OD", "1000_OS", "1001_OD", "1001_OS")

    def test_from_the_names_in_class_folders(self, tmp_path: Path) -> None:
        for number, name in enumerate(self.PAIR):
            put(tmp_path / ("0", "2", "3")[number % 3] / f"{name}.JPG")
        found = inspect(tmp_path)
        assert sorted({record.patient_id for record in found.records}) == ["1000", "1001"]
        assert "2, from the names 1000_OD and 1000_OS" in said(found) and "left 2, right 2" in said(found)
        assert len({record.patient_id for record in look(tmp_path, patients="none").records}) == 4

    def test_of_eyepacs_whose_table_is_named(self, tmp_path: Path) -> None:
        rows = ("10_left,0", "10_right,4", "13_left,1", "13_right,0")
        table(tmp_path, "image,level", *rows, name="trainLabels.csv", images="train")
        found = inspect(tmp_path / "trainLabels.csv")
        assert [record.patient_id for record in found.records] == ["10", "10", "13", "13"]

    def test_numbers_with_and_without_a_fraction(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,grade,patient", "a,0,1", "b,3,1.0", "c,2,2.0"))
        assert [record.patient_id for record in found.records] == ["1", "1", "2"]

    def test_nan_is_no_patient(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,grade,patient", "a,0,nan", "b,3,NaN", "c,2,7", "d,2,unknown"))
        assert [record.patient_id for record in found.records] == ["a", "b", "7", "d"]
        assert "so each one of its own: 3 photographs" in said(found)

    def test_unknown_is_said(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,grade", "a,0", "b,3"))
        assert "unknown: every photograph counts as a patient of its own" in said(found)

    def test_names_are_asked_for(self, tmp_path: Path) -> None:
        names = [f"{patient:03d}_{number}" for patient in range(6) for number in range(2)]
        table(tmp_path, "image,grade", *(f"{name},{number % 5}" for number, name in enumerate(names)))
        assert "--patients names" in said(inspect(tmp_path))
        assert look(tmp_path, patients="names").patients == 6


class TestDialects:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("first", ["", "sep=;\r\n"])
    def test_semicolons_of_excel(self, tmp_path: Path, encoding: str, first: str) -> None:
        put(tmp_path / "labels.csv", f"{first}Image;Grade\r\na.jpg;0\r\nb.jpg;4\r\n".encode(encoding))
        for name in "ab":
            put(tmp_path / f"{name}.jpg")
        found = inspect(tmp_path)
        assert [record.grade for record in found.records] == [0, 4] and "semicolons" in said(found)

    def test_lost_zeros_of_a_spreadsheet(self, tmp_path: Path) -> None:
        put(tmp_path / "labels.csv", "image,grade\n12,0\n")
        put(tmp_path / "images" / "0012.jpg")
        with pytest.raises(
            KerasDrError, match=r"'12' is not there, but 0012.jpg is: leading zeros were lost in line 2"
        ):
            inspect(tmp_path)

    def test_whole_numbers_with_a_fraction(self, tmp_path: Path) -> None:
        put(tmp_path / "labels.csv", "image,grade\n12.0,0.0\n13.0,4.0\n")
        for name in ("12", "13"):
            put(tmp_path / "images" / f"{name}.jpg")
        assert [(r.image_id, r.path.name, r.grade) for r in inspect(tmp_path).records] == [
            ("12", "12.jpg", 0),
            ("13", "13.jpg", 4),
        ]

    def test_windows_paths(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0")
        put(tmp_path / "labels.csv", "image,grade\nC:\\eyes\\a.jpg,0\n")
        with pytest.raises(KerasDrError, match="path of a Windows computer"):
            inspect(tmp_path)

    def test_apple_double_files(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a.jpg,0", "b.jpg,4", "._a.jpg,0")
        found = inspect(tmp_path)
        assert len(found.records) == 2 and len(found.reading.left_out) == 1 and "AppleDouble" in said(found)

    def test_unicode_forms(self, tmp_path: Path) -> None:
        name = unicodedata.normalize("NFD", "ojo_é")
        put(tmp_path / "labels.csv", "image,grade\najo,0\nojo_é,4\n")
        put(tmp_path / "ajo.jpg")
        put(tmp_path / f"{name}.jpg")
        found = inspect(tmp_path)
        assert (
            found.missing == ()
            and "Matched, though written in another Unicode form (NFC, NFD) than the files: 1 names" in said(found)
        )

    def test_photographs_that_are_not_there(self, tmp_path: Path) -> None:
        put(tmp_path / "labels.csv", "image,grade\na,0\nb,4\n")
        with pytest.raises(KerasDrError, match=r"None of the 2 photographs .* such as a\..*--images"):
            inspect(tmp_path)
        put(tmp_path / "b.jpg")
        assert "Named, but not there: 1 photograph (a)" in said(inspect(tmp_path))


class TestDirection:
    """Which class is positive is known, or asked."""

    def test_two_classes_in_another_language(self, tmp_path: Path) -> None:
        classes(tmp_path, "Sano", "Enfermo")
        with pytest.raises(KerasDrError, match=r"Enfermo \(2\), Sano \(2\).*--positive Sano or --positive Enfermo"):
            inspect(tmp_path)
        found = look(tmp_path, positive="Enfermo")
        assert found.task.classes == ("Sano", "Enfermo") and found.task.referable == (1,)
        assert "positive: Enfermo" in said(found)

    @pytest.mark.parametrize(("negative", "positive"), [("Normal", "Glaucoma"), ("No_DR", "DR"), ("NRDR", "RDR")])
    def test_a_clear_pair(self, tmp_path: Path, negative: str, positive: str) -> None:
        task = inspect(classes(tmp_path, negative, positive)).task
        assert task.classes == (negative, positive) and task.referable == (1,)

    def test_nobody_may_be_positive(self, tmp_path: Path) -> None:
        found = look(classes(tmp_path, "Cardiomegaly", "Pneumothorax"), positive="none")
        assert found.task.referable == () and "nobody is referred" in said(found)

    @pytest.mark.parametrize("as_folders", [True, False])
    def test_only_0_and_1(self, tmp_path: Path, as_folders: bool) -> None:
        classes(tmp_path, "0", "1") if as_folders else table(tmp_path, "image,label", "a,0", "b,1")
        with pytest.raises(KerasDrError, match="grades no_dr and mild, or not referable and referable"):
            inspect(tmp_path)
        assert look(tmp_path, positive="1").task.referable == (1,)
        assert look(tmp_path, task="icdr").task.classes == GRADES

    def test_a_positive_class_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(KerasDrError, match="'ill', which is no class; the classes are Enfermo, Sano"):
            look(classes(tmp_path, "Sano", "Enfermo"), positive="ill")


class TestGrades:
    """The scale is known under its common names, and asked for under others."""

    @pytest.mark.parametrize(
        "names",
        [
            ("R0", "R1", "R2", "R3", "R4"),
            ("0 - No DR", "1 - Mild", "2 - Moderate", "3 - Severe", "4 - PDR"),
            ("DR0", "DR1", "DR2", "DR3", "DR4"),
            ("grade_0", "grade_1", "grade_2", "grade_3", "grade_4"),
            ("No apparent retinopathy", "Mild NPDR", "Moderate NPDR", "Severe NPDR", "PDR"),
            (
                "NORMAL",
                "mild-npdr",
                "moderate non-proliferative DR",
                "SevereNPDR",
                "Proliferative diabetic retinopathy",
            ),
        ],
    )
    def test_common_names(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        found = inspect(classes(tmp_path, *names))
        assert found.task.name == "icdr" and counted(found) == dict.fromkeys(GRADES, 2)
        assert "positive: moderate, severe, proliferative" in said(found)

    SPANISH = ("Sano", "Leve", "Moderada", "Grave", "Proliferativa")

    def test_another_language_is_asked_about_and_mapped(self, tmp_path: Path) -> None:
        classes(tmp_path, *self.SPANISH)
        with pytest.raises(KerasDrError, match=r"--map .*--classes"):
            inspect(tmp_path)
        renamed = tuple(f"{name}={grade}" for name, grade in zip(self.SPANISH, GRADES, strict=True))
        found = look(tmp_path, renamed=renamed)
        assert found.task.name == "icdr" and counted(found) == dict.fromkeys(GRADES, 2)
        assert "from Grave (2)" in said(found)

    def test_classes_in_the_order_that_is_said(self, tmp_path: Path) -> None:
        classes(tmp_path, *self.SPANISH)
        with pytest.raises(KerasDrError, match="--positive"):
            look(tmp_path, classes=",".join(self.SPANISH))
        task = look(tmp_path, classes=",".join(self.SPANISH), positive="Moderada,Grave,Proliferativa").task
        assert (task.classes, task.referable, task.ordered) == (self.SPANISH, (2, 3, 4), 5)

    def test_two_scales_share_r0_to_r3(self, tmp_path: Path) -> None:
        with pytest.raises(KerasDrError, match=r"ICDR scale .* British"):
            inspect(classes(tmp_path, "R0", "R1", "R2", "R3"))

    def test_some_grades_and_a_stranger(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0", "b,4", "c,5")
        with pytest.raises(KerasDrError, match=r"0 \(1\), 4 \(1\) are an ICDR grade, but 5 \(1\) are none"):
            inspect(tmp_path)
        found = look(tmp_path, renamed=("5=ungradable",))
        assert [record.grade for record in found.records] == [0, 4, 5]

    def test_a_label_that_no_photograph_has(self, tmp_path: Path) -> None:
        table(tmp_path, "image,grade", "a,0", "b,4")
        with pytest.raises(KerasDrError, match="'x', which no photograph has"):
            look(tmp_path, renamed=("x=mild",))

    def test_the_word_none_is_no_disease_beside_words(self, tmp_path: Path) -> None:
        found = inspect(table(tmp_path, "image,grade", "a,None", "b,Mild", "c,Severe"))
        assert [record.grade for record in found.records] == [0, 1, 3]


class TestFolders:
    """Folders that are no classes are none; files are used, or counted with the reason."""

    @pytest.mark.parametrize(
        "names", [("train_images", "val_images", "test_images"), ("Base11", "Base12"), ("images", "mask", "manual1")]
    )
    def test_names_that_are_no_classes(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        with pytest.raises(KerasDrError, match=f"layout .* folders .*{names[0]}"):
            inspect(classes(tmp_path, *names))

    def test_split_folders_beside_their_tables(self, tmp_path: Path) -> None:
        for split, names in (("train", "abcdef"), ("valid", "ab"), ("test", "ab")):
            rows = [f"{name},{number % 5}" for number, name in enumerate(names)]
            images = {"train": "train_images", "valid": "val_images", "test": "test_images"}[split]
            table(tmp_path, "id_code,diagnosis", *rows, name=f"{split}.csv", images=f"{images}/{images}")
        found = inspect(tmp_path)
        assert [record.split for record in found.records] == ["train"] * 6 + ["val"] * 2 + ["test"] * 2
        assert all(record.path.parent.name.startswith(record.split) for record in found.records)
        assert len({record.image_id for record in found.records}) == 10 and "3 tables read, 0 not used" in said(found)

    def test_train_dev_test(self, tmp_path: Path) -> None:
        found = inspect(
            classes(tmp_path, *(f"{split}/{grade}" for split in ("train", "dev", "test") for grade in "02"))
        )
        assert [record.split for record in found.records] == ["val"] * 4 + ["test"] * 4 + ["train"] * 4

    def test_a_split_of_no_known_name(self, tmp_path: Path) -> None:
        classes(tmp_path, *(f"{split}/{grade}" for split in ("train", "holdout", "test") for grade in "02"))
        with pytest.raises(KerasDrError, match=r"holdout holds classes \(0, 2\) and is neither train, val nor test"):
            inspect(tmp_path)

    def test_splits_below_classes(self, tmp_path: Path) -> None:
        found = inspect(classes(tmp_path, *(f"{grade}/{split}" for split in ("train", "test") for grade in "02")))
        assert [record.split for record in found.records] == ["test", "test", "train", "train"] * 2

    def test_subfolders_rare_suffixes_and_none(self, tmp_path: Path) -> None:
        for name in ("0/a.jpg", "0/2019/b.jpg", "2/c.ppm", "2/d.jfif", "2/e"):
            put(tmp_path / name)
        found = inspect(tmp_path)
        assert sorted(record.path.name for record in found.records) == ["a.jpg", "b.jpg", "c.ppm", "d.jfif", "e"]

    def test_every_file_is_counted(self, tmp_path: Path) -> None:
        classes(tmp_path, "0", "2", "masks")
        for name in ("0/x.gif", "0/y.gif", "readme.txt", "loose.jpg", "2/._a.jpg", "2/.DS_Store", "notes.csv"):
            put(tmp_path / name, "x")
        found = inspect(tmp_path)
        assert found.found == 13 == found.photographs + sum(found.skipped.counts.values())
        assert dict(found.skipped.counts) == {
            "in the folder masks, which is no class": 2,
            "with the suffix .gif": 2,
            "with the suffix .txt, not read as a table": 1,
            "with the suffix .csv, not read as a table": 1,
            "beside the class folders": 1,
            APPLE_DOUBLE: 1,
            "hidden": 1,
        }

    def test_a_table_without_classes_beside_class_folders_is_named(self, tmp_path: Path) -> None:
        classes(tmp_path, "0", "2")
        put(tmp_path / "patients.csv", "image,patient\na,1\n")
        assert "1 with the suffix .csv, not read as a table (patients.csv)" in said(inspect(tmp_path))

    def test_a_table_in_a_folder_of_its_own(self, tmp_path: Path) -> None:
        put(tmp_path / "Groundtruth" / "labels.csv", "image,grade\na,0\nb,3\n")
        for name in "ab":
            put(tmp_path / "Images" / f"{name}.jpg")
        assert [record.grade for record in inspect(tmp_path).records] == [0, 3]

    def test_one_folder_around_everything(self, tmp_path: Path) -> None:
        found = inspect(classes(tmp_path, "dataset/0", "dataset/2", "dataset/4"))
        assert found.records[0].image_id == "0_dataset_0_a" and "in the folder dataset" in said(found)


def test_an_inspection_fits_a_screen(tmp_path: Path) -> None:
    rows = [f"i{n},{n % 5},P{n},x" for n in range(20)]
    said = str(inspect(table(tmp_path, "image,grade,patient,camera", *rows)))
    assert len(said.splitlines()) < 24 and max(map(len, said.splitlines())) <= 100


def test_spellings_of_one_class_are_one_and_signs_are_kept(tmp_path: Path) -> None:
    table(tmp_path, "image,label", "a,Glaucoma", "b,glaucoma", "c,Glaucoma", "d,Normal")
    assert counted(inspect(tmp_path)) == {"Normal": 1, "Glaucoma": 3}
    table(tmp_path, "image,label", "a,DR+", "b,DR-")
    with pytest.raises(KerasDrError, match=r"DR\+ \(1\), DR- \(1\).*--positive"):
        inspect(tmp_path)


def test_a_column_for_each_class_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"a column for each class \(No DR, Mild\)"):
        inspect(table(tmp_path, "image,No DR,Mild", "a,0,1", "b,1,0"))


def test_patients_of_two_spellings_are_one(tmp_path: Path) -> None:
    found = inspect(table(tmp_path, "image,grade,patient", "a,0,P1", "b,3,p1", "c,2,p2"))
    assert found.patients == 2 and "differ in case alone are taken for one: 1" in said(found)


def test_folders_that_may_be_patients_are_not_divided(tmp_path: Path) -> None:
    for patient in range(12):
        for number in range(2):
            put(tmp_path / str(2 * (patient % 3)) / f"P{patient:02d}" / f"{number}.jpg")
    found = inspect(tmp_path)
    assert len({record.neighbours for record in found.records}) == 12 and "P00, may be patients" in said(found)


def test_folders_of_another_grade_than_the_table_are_told(tmp_path: Path) -> None:
    for name, folder in (("a", "0"), ("b", "4")):
        put(tmp_path / folder / f"{name}.jpg")
    put(tmp_path / "labels.csv", "image,grade\na,0\nb,2\n")
    assert "1 photographs lie in a folder of another grade than the table says, such as 4/b.jpg (2)" in said(
        inspect(tmp_path)
    )


def test_a_prepared_set_and_an_archive_are_no_sources(tmp_path: Path) -> None:
    put(tmp_path / "set" / "prepared.json", "{}")
    put(tmp_path / "set.zip", "PK")
    with pytest.raises(KerasDrError, match="a prepared set already"):
        inspect(tmp_path / "set")
    with pytest.raises(KerasDrError, match="Unpack it"):
        inspect(tmp_path / "set.zip")


def test_a_name_that_is_no_class_may_be_said_to_be_one(tmp_path: Path) -> None:
    classes(tmp_path, "a", "b", "c")
    with pytest.raises(KerasDrError, match="--classes"):
        inspect(tmp_path)
    assert look(tmp_path, classes="c,b,a", positive="a").task.classes == ("c", "b", "a")


def test_patients_of_a_published_set_may_be_said(tmp_path: Path) -> None:
    rows = ("10_left,0", "10_right,4", "13_left,1", "13_right,0")
    table(tmp_path, "image,level", *rows, name="trainLabels.csv", images="train")
    assert (inspect(tmp_path).dataset, inspect(tmp_path).patients) == ("eyepacs", 2)
    assert look(tmp_path, patients="none").patients == 4
