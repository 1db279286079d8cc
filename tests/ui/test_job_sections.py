"""The sections of the form of a job."""

import pytest

from kala.api.job_fields import JOB
from kala.core.fields import Field, Group, Line
from kala.ui.job_sections import _LABELS, _SEEN, _TITLES, field_of, label_of, sections
from kala.ui.job_texts import flat, texts_of

NEW = Field(Line(), Group.KEEP, "a field that did not exist before", json="brand_new", default="")


def test_each_group_has_a_section():
    assert sorted(group for groups in _TITLES.values() for group in groups) == sorted(Group)


def test_the_layout_names_only_fields_that_exist():
    assert {*_SEEN, *_LABELS} <= flat().keys()


def test_each_field_is_in_one_section():
    found = [one.path for section in sections(texts_of({})) for one in [*section.seen, *section.folded]]
    assert sorted(found) == sorted(flat())


def test_no_label_is_a_part_of_another():
    """So that a label finds its field, by whatever rule it is searched for."""
    seen = {path: label_of(path).lower() for path in _SEEN}
    every = [label_of(path).lower() for path in flat()]
    clashes = {path: [one for one in every if label in one and one != label] for path, label in seen.items()}
    assert not any(clashes.values()), clashes


def test_a_new_field_appears_by_itself():
    [keep] = [one for one in sections({}, {}, JOB | {"brand_new": NEW}) if one.title == "Keep"]
    [found] = [one for one in keep.folded if one.path == "brand_new"]
    assert (found.label, found.id) == ("Brand new", "f-brand_new")
    assert [part.text for part in found.hint] == ["A field that did not exist before."]


def test_a_section_opens_for_a_value_and_for_an_error():
    def is_open(texts, errors):
        return next(one.is_open for one in sections(texts_of({}) | texts, errors) if one.title == "Keep")

    assert not is_open({}, {"schedule": "schedule: bad"})
    assert is_open({"keep_runs": "5"}, {})
    assert is_open({}, {"keep_for": "keep_for: bad"})


@pytest.mark.parametrize(
    ("sentence", "path"),
    [
        ("schedule: must be cron", "schedule"),
        ("schedule interval: must be at least 1 second", "schedule"),
        ("tags[2]: must be short", "tags"),
        ("env.PATH: must be a string", "env"),
        ("remote_properties.headers.Accept[0]: must be text", "remote_properties.headers"),
        ("remote_properties.url: must not be empty", "remote_properties.url"),
        ("templatedelimiters: must be two", "TemplateDelimiters"),
        ("body: invalid JSON", ""),
        ("no job has the id 5", ""),
    ],
)
def test_an_error_belongs_to_the_field_that_it_begins_with(sentence, path):
    assert field_of(sentence) == path
