"""Tables from CSV and Parquet: columns, labels, missing values, and every refusal."""

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipgrad.errors import InputError
from flipgrad.inputs import read_domain, read_domains, tables

ROWS = 30
RANDOM = np.random.default_rng(0)


def _frame(**columns):
    """``n``, ``c``, ``b`` and the label ``y``, changed by ``columns``; None takes one away."""
    good = {
        "n": (np.arange(ROWS) % 7 / 2).tolist(),
        "c": [("red", "green", "blau ä")[i % 3] for i in range(ROWS)],
        "b": [i % 4 == 0 for i in range(ROWS)],
        "y": [("yes", "no")[i % 2] for i in range(ROWS)],
    }
    return pl.DataFrame({name: values for name, values in (good | columns).items() if values is not None}, strict=False)


@pytest.fixture
def write(tmp_path):
    """Writes a frame as CSV or Parquet and returns the path."""

    def write(name, frame):
        path = tmp_path / name
        frame.write_csv(path) if name.endswith(".csv") else frame.write_parquet(path)
        return path

    return write


@pytest.fixture
def read(write):
    """Reads two frames as source and target."""

    def read(source, target=None, ending="csv", **options):
        target = _frame(y=None) if target is None else target
        return read_domains(write(f"s.{ending}", source), write(f"t.{ending}", target), **options)

    return read


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_was_written_is_read(read, heard, ending):
    form, source, target = read(_frame(), ending=ending, report=heard.append)
    assert form.detail == {
        "label": "y",
        "columns": [
            {"name": "n", "kind": "number"},
            {"name": "c", "kind": "category", "categories": ["blau ä", "green", "red"]},
            {"name": "b", "kind": "boolean"},
        ],
    }
    assert form.shape == (3,)
    assert form.classes.values == ("no", "yes")
    assert source.y.tolist() == [1, 0] * 15
    assert target.y is None
    assert source.ids == [str(row) for row in range(ROWS)]
    assert source.x.dtype == np.float32
    expected = np.array([[i % 7 / 2, (2, 1, 0)[i % 3], i % 4 == 0] for i in range(ROWS)], "float32")
    np.testing.assert_array_equal(source.x, expected)
    np.testing.assert_array_equal(target.x, expected)
    assert heard == []


def test_csv_beside_parquet(write):
    source, target = write("s.csv", _frame()), write("t.parquet", _frame(y=None))
    form, xs, xt = read_domains(source, target)
    assert [column["kind"] for column in form.detail["columns"]] == ["number", "category", "boolean"]
    np.testing.assert_array_equal(xs.x, xt.x)


def test_the_order_of_the_columns_does_not_matter(read):
    _, source, target = read(_frame(), _frame(y=None).select("b", "c", "n"))
    np.testing.assert_array_equal(source.x, target.x)


@pytest.mark.parametrize(
    "content",
    [
        b"n;y\n1;a\n2;b\n",
        b"n\ty\n1\ta\n2\tb\n",
        b"\xef\xbb\xbfn,y\r\n1,a\r\n2,b\r\n",
        b'"n","y"\n"1","a"\n"2","b"',
        b"n,y\n1,a\n2,b\n\n\n",
        b"\nn,y\n1,a\n2,b\n"[1:] + b"\r\n",
        b"n,y\n\n1,a\n\n2,b\n",
        b"n,y\n 1 ,a\n2e0,b\n",
    ],
)
def test_ways_to_write_csv(make, content):
    path = make.text("s.csv", content)
    form, source, _ = read_domains(path, path)
    assert source.x.tolist() == [[1.0], [2.0]]
    assert form.classes.values == ("a", "b")


# Columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_missing_values(read, ending):
    values = [None, 1.5, float("nan"), 2.0, 3.0] * 6
    frame = _frame(n=values, c=[None, "red", "", "green", " red "] * 6, b=[None, True, False, True, True] * 6)
    form, source, _ = read(frame, ending=ending)
    x = source.x[:5]
    np.testing.assert_array_equal(x[:, 0], [np.nan, 1.5, np.nan, 2, 3])
    categories = form.detail["columns"][1]["categories"]
    assert "red" in categories
    assert " red " not in categories
    assert np.isnan(x[0, 1])
    assert x[1, 1] == x[4, 1] == categories.index("red")
    np.testing.assert_array_equal(x[:, 2], [np.nan, 1, 0, 1, 1])


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", " ", "NULL"])
def test_words_for_missing_in_csv(make, word):
    path = make.text("s.csv", f"n,y\n1,a\n{word},b\n3,a\n")
    form, source, _ = read_domains(path, path)
    assert form.detail["columns"][0]["kind"] == "number"
    np.testing.assert_array_equal(source.x[:, 0], [1, np.nan, 3])


def test_unseen_categories_count_as_missing(read, write):
    form, *_ = read(_frame())
    domain = read_domain(write("e.csv", _frame(c=["pink", "red", None] * 10)), form, labelled=True)
    np.testing.assert_array_equal(domain.x[:3, 1], [np.nan, 2, np.nan])


def test_categories_of_both_domains_count(read):
    form, _, target = read(_frame(), _frame(y=None, c=["pink", "red", "grün"] * 10))
    assert form.detail["columns"][1]["categories"] == ["blau ä", "green", "grün", "pink", "red"]
    assert target.x[:3, 1].tolist() == [3, 4, 2]


def test_at_most_100_categories_the_most_frequent(write, heard):
    names = [f"c{i:03}" for i in range(150)]
    often = names + names[50:] * 3  # the first 50 are rare
    source = pl.DataFrame({"c": often, "y": ["a", "b"] * (len(often) // 2)})
    form, domain, _ = read_domains(write("s.csv", source), write("t.csv", source.drop("y")), report=heard.append)
    assert form.detail["columns"][0]["categories"] == names[50:]
    assert np.isnan(domain.x).sum() == 50
    assert any("has 150 categories; the 100 most frequent are used" in line for line in heard)


DAYS = [datetime.date(2024, 1, 1 + i % 25) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "why", "endings"),
    [
        (DAYS, "dates", ["csv", "parquet"]),
        ([datetime.datetime(2024, 1, 1, 12, i) for i in range(ROWS)], "dates", ["csv", "parquet"]),
        ([[i] for i in range(ROWS)], "lists, structures or bytes", ["parquet"]),
        ([{"a": i} for i in range(ROWS)], "lists, structures or bytes", ["parquet"]),
        ([b"x"] * ROWS, "lists, structures or bytes", ["parquet"]),
        ([f"It was the {i}th day" for i in range(ROWS)], "text, different in nearly every row", ["csv", "parquet"]),
        (list(range(1000, 1000 + ROWS)), "a number of the row", ["csv", "parquet"]),
        ([None] * ROWS, "no value", ["csv", "parquet"]),
        (["same"] * ROWS, "one value in every row", ["csv", "parquet"]),
        ([7.5] * ROWS, "one value in every row", ["csv", "parquet"]),
    ],
)
def test_unusable_columns_are_dropped_and_reported(read, heard, values, why, endings):
    for ending in endings:
        heard.clear()
        form, source, _ = read(_frame(extra=values), _frame(extra=values, y=None), ending, report=heard.append)
        assert [column["name"] for column in form.detail["columns"]] == ["n", "c", "b"]
        assert source.x.shape == (ROWS, 3)
        assert heard == [f"dropped 1 columns: 'extra' ({why})"]


def test_an_id_of_customers_is_a_number_of_the_row(read, heard):
    ids = RANDOM.permutation(10**6)[:ROWS].tolist()
    form, *_ = read(
        _frame(customer_id=ids, amount=ids), _frame(customer_id=ids, amount=ids, y=None), report=heard.append
    )
    assert "amount" in [column["name"] for column in form.detail["columns"]]
    assert heard == ["dropped 1 columns: 'customer_id' (a number of the row)"]


def test_a_column_of_one_domain_without_values_is_kept_and_reported(read, heard):
    form, _, target = read(_frame(), _frame(y=None, n=[None] * ROWS), report=heard.append)
    assert form.detail["columns"][0] == {"name": "n", "kind": "number"}
    assert np.isnan(target.x[:, 0]).all()
    assert heard == ["column 'n' has no value in the target"]


def test_a_column_of_two_kinds_is_reported(read, heard):
    form, source, target = read(_frame(), _frame(y=None, n=["low", "high", "1.0"] * 10), report=heard.append)
    assert form.detail["columns"][0]["kind"] == "category"
    assert heard == ["column 'n' is number in the source and category in the target; read as categories"]
    assert target.x[2, 0] == source.x[2, 0]


def test_no_usable_column(read):
    with pytest.raises(InputError, match="at least one column of numbers, booleans or categories, received none"):
        read(_frame(n=None, c=None, b=[True] * ROWS), _frame(n=None, c=None, b=[True] * ROWS, y=None))


def test_columns_that_differ(read):
    with pytest.raises(InputError, match="received only in the source: 'n'; rename or remove them"):
        read(_frame(), _frame(y=None, n=None))
    with pytest.raises(InputError, match=r"only in the source: 'n'; only in the target: 'N'; did you mean 'N'\?"):
        read(_frame(), _frame(y=None).rename({"n": "N"}))
    with pytest.raises(InputError, match="only in the target: 'extra'"):
        read(_frame(), _frame(y=None, extra=[1] * ROWS))


# Labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    "labels",
    [
        ["yes", "no"],
        [3, -1],
        [True, False],
        [1.0, 2.5],
        [1.0, 2.0],
        ["01", "02"],
        ["v1.10", "v1.1"],
        ["a b ", " ü,\n"],
        ["1", "x"],
    ],
)
def test_labels_come_back_as_they_went_in(read, ending, labels):
    labels = labels * 15
    form, source, _ = read(_frame(y=labels), ending=ending)
    decoded = form.classes.decode(source.y)
    assert decoded == labels
    assert {type(label) for label in decoded} == {type(labels[0])}


@pytest.mark.parametrize("labels", [["1.10", "1.1"], ["01", "1"], ["1e3", "1000"], ["inf", "1.5"], ["1_0", "10"]])
def test_texts_of_csv_stay_texts_where_numbers_would_mix_them_up(read, labels):
    form, source, _ = read(_frame(y=labels * 15))
    assert form.classes.decode(source.y) == labels * 15


def test_texts_of_parquet_stay_texts(read):
    form, *_ = read(
        pl.DataFrame({"n": ["1", "2", "3"] * 9, "y": ["1", "2", "2"] * 9}), pl.DataFrame({"n": ["1"]}), "parquet"
    )
    assert form.classes.values == ("1", "2")


def test_a_label_column_in_the_target_is_ignored_and_said_so(read, heard):
    without, _, plain = read(_frame())
    form, _, target = read(_frame(), _frame(y=["whatever", None, "3"] * 10), report=heard.append)
    assert form == without
    assert target.y is None
    np.testing.assert_array_equal(target.x, plain.x)
    assert heard == ["target: ignored the column 'y' (labels are not used here)"]


@pytest.mark.parametrize("name", ["label", "class", "target", "Y"])
def test_usual_names_of_the_label_column(read, name):
    assert read(_frame().rename({"y": name}))[0].detail["label"] == name


def test_the_label_column_by_name(read):
    form, *_ = read(_frame(), _frame(c=None), label="c")
    assert form.classes.values == ("blau ä", "green", "red")
    assert [column["name"] for column in form.detail["columns"]] == ["n", "b", "y"]


def test_no_label_column(read):
    with pytest.raises(InputError, match=r"received 0 such among 'n', 'c', 'b'; name it with label="):
        read(_frame(y=None))
    with pytest.raises(InputError, match=r"received 2 such among 'n', 'c', 'b', 'y', 'label'"):
        read(_frame(label=[1, 2] * 15))
    with pytest.raises(
        InputError, match=r"the label column 'colour', received the columns 'n', 'c', 'b', 'y'; name one"
    ):
        read(_frame(), label="colour")
    with pytest.raises(InputError, match=r"the label column 'species'.*; did you mean 'Species'\?"):
        read(_frame().rename({"y": "Species"}), label="species")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_missing_labels(read, ending):
    for labels in ([None, "a", "b"], [None, 1.0, 2.0], [float("nan"), 1.0, 2.0]):
        with pytest.raises(
            InputError, match="source, column 'y': expected a label in every row, received none in 10 of 30"
        ):
            read(_frame(y=labels * 10), ending=ending)


def test_labels_that_are_no_classes(read):
    with pytest.raises(InputError, match="not for regression"):
        read(_frame(y=(RANDOM.normal(size=ROWS)).tolist()))
    with pytest.raises(InputError, match="one only"):
        read(_frame(y=["a"] * ROWS))
    with pytest.raises(InputError, match="expected texts, whole numbers or booleans, received Date"):
        read(_frame(y=DAYS), ending="parquet")


# Reading again ------------------------------------------------------------------------------------------


def test_read_again_as_the_format_says(read, write, heard):
    form, source, _ = read(_frame())
    again = read_domain(write("e.csv", _frame().select("y", "b", "c", "n")), form, labelled=True)
    np.testing.assert_array_equal(again.x, source.x)
    np.testing.assert_array_equal(again.y, source.y)
    plain = read_domain(write("p.parquet", _frame(more=[1] * ROWS)), form, labelled=False, report=heard.append)
    assert plain.y is None
    np.testing.assert_array_equal(plain.x, source.x)
    assert heard == ["input: ignored the columns 'y', 'more'"]
    renamed = write("r.csv", _frame().rename({"y": "truth"}))
    np.testing.assert_array_equal(read_domain(renamed, form, labelled=True, label="truth").y, source.y)


def test_labels_of_a_test_set_are_read_by_the_type_of_the_classes(read, write):
    for labels, some in ((["1", "x"], ["1"]), ([1, 2], [2]), ([True, False], [False]), ([1.0, 2.5], [1])):
        form, *_ = read(_frame(y=labels * 15))
        domain = read_domain(write("e.csv", _frame(y=some * ROWS)), form, labelled=True)
        assert form.classes.decode(domain.y[:1]) == some


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_frame(n=None), r"columns of the training data, received none named 'n'; there are 'c', 'b', 'y'"),
        (
            _frame().rename({"c": "colour", "n": "m", "b": "B"}),
            r"none named 'n', 'c', 'b'; there are 'm', 'colour', 'B'",
        ),
        (_frame(n=["1", "two"] * 15), r"column 'n': expected numbers .* something else in 15 of 30 rows"),
        (_frame(b=["true", "perhaps"] * 15), r"column 'b': expected booleans .* in 15 of 30"),
        (_frame(y=None), r"expected the label column 'y', received 'n', 'c', 'b'"),
        (
            _frame(y=["yes", "maybe"] * 15),
            r"column 'y': expected the classes 'no', 'yes', .* in 15 of 30 rows: 'maybe'",
        ),
        (_frame(n=[1.0, 1e39] * 15), r"column 'n': expected numbers of at most 3e38, .* in 15 of 30"),
        (_frame(n=[1.0, float("-inf")] * 15), r"column 'n': expected numbers"),
    ],
)
def test_other_columns_than_trained_on(read, write, ending, frame, message):
    form, *_ = read(_frame(), ending=ending)
    with pytest.raises(InputError, match=f"input.*{message}"):
        read_domain(write(f"e.{ending}", frame), form, labelled=True)


def test_dates_where_numbers_were(read, write):
    form, *_ = read(_frame())
    for column in ("n", "c", "b"):
        with pytest.raises(InputError, match=f"column '{column}': expected a .*, received Date"):
            read_domain(write("e.parquet", _frame(**{column: DAYS})), form, labelled=False)


def test_infinite_numbers(read):
    with pytest.raises(InputError, match=r"target, column 'n': expected numbers of at most 3e38, .* in 1 of 30 rows"):
        read(_frame(), _frame(y=None, n=[float("inf")] + [1.0, 2.0] * 14 + [3.0]))


# Files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\n", "names of the columns in the first line, received an empty line"),
        (b"n,y\n", "at least one row below the names"),
        (b"n,y\n1,a\n2\n", "line 3: expected 2 fields as in the first line, received 1"),
        (b"n,y\n1,a\n2,b,c\n", "line 3: expected 2 fields as in the first line, received 3"),
        (b"n,y\n1,\xe4\n2,b\n", "not text in UTF-8"),
        ("n,y\n1,a\n2,b\n".encode("utf-16"), "not text in UTF-8"),
        (b"n,n,y\n1,2,a\n2,3,b\n", "received twice 'n'"),
        (b"1,2\n3,4\n5,6\n", "received numbers; add names"),
        (b'n,y\n1,"a\n2,b\n', "not a CSV file below line 1"),
        (b'n,y\n1,"a"b\n2,b\n', "not a CSV file below line 1"),
        (b"n,y\r1,a\r2,b\r", "CSV file|expected lines that end in"),
        (b"*,y\n1,a\n2,b\n", r"received patterns: '\*'"),
        (b"^n.*$,y\n1,a\n2,b\n", r"received patterns: '\^n"),
        (b"n,y\n1," + b"a" * 200_000 + b"\n2,b\n", "field larger than field limit"),
    ],
)
def test_bad_csv(make, content, message):
    path = make.text("s.csv", content)
    with pytest.raises(InputError, match=f"source.*{message}") as error:
        read_domains(path, path)
    assert "\n" not in str(error.value)


def test_errors_show_nothing_of_the_values(make):
    path = make.text("s.csv", b"n,y\n1,a\nsecret\n")
    with pytest.raises(InputError) as error:
        read_domains(path, path)
    assert "secret" not in str(error.value)


def test_bad_parquet(write, make):
    whole = write("t.parquet", _frame()).read_bytes()
    for content in (b"PAR1", whole[:100], whole[:-20], whole[:4] + b"\xff" * 200 + whole[204:]):
        with pytest.raises(InputError, match="source") as error:
            read_domains(make.text("s.parquet", content), make.folder / "t.parquet")
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="source: expected at least one row"):
        read_domains(write("s.parquet", _frame().clear()), make.folder / "t.parquet")


def test_file_names_are_no_patterns(write):
    write("a.csv", _frame())
    path = write("[ab].csv", _frame(n=[9.0, 8.0, 7.0] * 10))
    assert read_domains(path, path)[1].x[0, 0] == 9


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_large_tables_are_in_a_file(read, monkeypatch, ending):
    form, whole, _ = read(_frame(n=[1.5, None, 3.0] * 10), ending=ending)
    monkeypatch.setattr(tables, "IN_MEMORY", 100)
    monkeypatch.setattr(tables, "_VALUES_AT_A_TIME", 21)
    again, mapped, _ = read(_frame(n=[1.5, None, 3.0] * 10), ending=ending)
    assert again == form
    assert isinstance(mapped.x, np.memmap)
    np.testing.assert_array_equal(mapped.x, whole.x)


# Whatever is written comes back -------------------------------------------------------------------------

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda text: text.strip().lower() not in ("", "na", "n/a", "nan", "null")
)
NUMBER = st.one_of(st.none(), st.floats(-(2.0**99), 2.0**99, width=32), st.integers(-(2**24), 2**24).map(float))


@given(
    st.lists(st.tuples(NUMBER, st.none() | TEXT, st.none() | st.booleans(), TEXT), min_size=2, max_size=20),
    st.sampled_from(["csv", "parquet"]),
)
def test_any_table_comes_back(write, rows, ending):
    numbers, texts, booleans, labels = (list(column) for column in zip(*rows, strict=True))
    frame = pl.DataFrame(
        {"n": numbers, "c": texts, "b": booleans, "y": labels},
        {"n": pl.Float64, "c": pl.String, "b": pl.Boolean, "y": pl.String},
    )
    path = write(f"any.{ending}", frame)
    refused = ""
    try:
        form, source, _ = read_domains(path, path)
    except InputError as error:
        refused = str(error)
    if refused:
        doubtful = "lines that end in" in refused and any("\r" in text for text in labels + texts if text)
        assert doubtful or "received one only" in refused or "none that can be used" in refused
        return
    meant = {"str": str, "int": int, "float": float, "bool": lambda text: text.strip().lower() == "true"}
    assert form.classes.decode(source.y) == [meant[form.classes.type](text) for text in labels]
    for place, column in enumerate(form.detail["columns"]):
        x = source.x[:, place]
        given = {"n": numbers, "c": texts, "b": booleans}[column["name"]]
        np.testing.assert_array_equal(np.isnan(x), [value is None for value in given])
        values = [value for value in given if value is not None]
        if column["kind"] == "category":
            known = [column["categories"][int(code)] for code in x[~np.isnan(x)]]
            assert known == pl.Series(values).str.strip_chars().to_list()
        else:
            numbers_of = {"true": 1.0, "false": 0.0}
            known = [numbers_of.get(str(value).strip().lower(), value) for value in values]
            np.testing.assert_array_equal(x[~np.isnan(x)], np.array(known, "float64").astype("float32"))


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from([b"n,y\n1,a\n2,b\n", b"", b"PAR1"])
)
def test_any_bytes_are_a_table_or_refused(make, content, start):
    path = make.text("any.csv", start + content)
    try:
        form, source, _ = read_domains(path, path)
    except InputError as error:
        refused = str(error)
    else:
        refused = ""
        assert source.x.shape == (len(source.y), *form.shape)
    assert "\n" not in refused


def test_a_category_is_the_same_in_a_column_of_another_type(tmp_path, heard):
    """Integers become floats where a value is missing; the texts of a CSV file have neither type."""
    codes = [1, 2, 10, 2] * 5
    both = []
    for name in ("source", "target"):
        path = tmp_path / f"{name}.csv"
        text = [str(code) if number else "x" for number, code in enumerate(codes)]
        pl.DataFrame({"code": text, "label": ["a", "b"] * 10}).write_csv(path)
        both.append(path)
    form, source, _ = read_domains(*both)
    frame = pl.DataFrame({"code": [float(code) for code in codes]})
    frame.write_parquet(tmp_path / "floats.parquet")
    again = read_domain(tmp_path / "floats.parquet", form, labelled=False, report=heard.append)
    np.testing.assert_array_equal(again.x[1:], source.x[1:])
    assert heard == []
    pl.DataFrame({"code": ["1", "7", None, "7"]}).write_csv(tmp_path / "new.csv")
    read_domain(tmp_path / "new.csv", form, labelled=False, report=heard.append)
    assert heard == ["input: column 'code': 2 of 4 values were never seen in training"]


@pytest.mark.slow  # 5 to 13 s
def test_a_million_rows(write):
    count = 10**6
    number = np.arange(count)
    big = pl.DataFrame(
        {
            "n": number % 1009 / 2,
            "c": np.array(["x", "y", "z"])[number % 3],
            "y": np.array(["no", "yes"])[number % 2],
        }
    )
    source = write("big.parquet", big)
    form, domain, _ = read_domains(source, write("small.parquet", big[:50]))
    assert form.classes.values == ("no", "yes")
    assert (len(domain), domain.ids[-1]) == (count, "999999")
    for row in (0, 123_457, count - 1):
        np.testing.assert_array_equal(domain.x[row], [row % 1009 / 2, row % 3])
        assert domain.y[row] == row % 2
