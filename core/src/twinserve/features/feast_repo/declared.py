"""The one reading of a Feast feature view: every step's description of it is made from here.

Definitions may leave out what Feast fills in when they are applied: a join key that the schema does not list, the
type of a key, the features. `complete` has Feast fill it in before, so that ingest, which comes first, sees the same
view as the steps after it. `declared_view` then puts the view into plain values.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import Column, DeclaredView
from twinserve.features.redis.layout import DUMMY_KEY
from twinserve.features.stored_files.feast_arrow import declared_type
from twinserve.features.stored_files.feature_rows import stored_columns
from twinserve.features.stored_files.source_files import local_path, parquet_in

DUMMY_ENTITY = "__dummy"  # the entity that Feast gives to views without one


def declared_view(view: Any) -> DeclaredView:
    """A `feast.FeatureView`, completed or from the registry, in plain values.

    Raises:
        BadInput: an entity's join key is no column of the view, or its source maps two columns to one name.
    """
    keys = [column for column in view.entity_columns if column.name != DUMMY_KEY]
    entities = [name for name in view.entities if name != DUMMY_ENTITY]
    if len(keys) < len(entities):
        raise BadInput(
            f"feature view {view.name} is registered without a join key for each of its entities "
            f"{', '.join(entities)}: it has {', '.join(key.name for key in keys) or 'none'}",
            fix="Run `data-pipeline apply`, which says what the definitions lack",
        )
    source = view.batch_source
    stored = _stored_names(view)

    def columns(fields: Iterable[Any]) -> tuple[Column, ...]:
        return tuple(
            Column(f.name, stored.get(f.name, f.name), f.dtype.to_value_type().name, declared_type(f.dtype))
            for f in fields
        )

    times = [source.timestamp_field, source.created_timestamp_column] if source else ["", ""]
    timestamp, created = (stored.get(name, name) for name in times)
    return DeclaredView(
        name=view.name,
        keys=columns(keys),
        features=tuple(
            c for c in columns(view.features) if c.stored not in (timestamp, created)
        ),  # as Feast leaves out
        timestamp=timestamp,
        created=created or None,
        ttl=view.ttl or None,
        online=view.online and getattr(view, "enabled", True),
    )


def _stored_names(view: Any) -> dict[str, str]:
    """Name in Feast → stored column, where they differ.

    Raises:
        BadInput: the source maps two columns to one name.
    """
    mapping: dict[str, str] = (view.batch_source and view.batch_source.field_mapping) or {}
    stored: dict[str, str] = {}
    for column, name in mapping.items():
        if stored.setdefault(name, column) != column:
            raise BadInput(
                f"the field_mapping of feature view {view.name}'s source maps {stored[name]} and {column} to {name}",
                fix="Map one of them",
            )
    return stored


def complete(views: Iterable[Any], entities: Iterable[Any], repo: Path) -> None:
    """Have Feast fill in what these `feast.FeatureView`s leave out, as `feast apply` does, in place.

    A type that neither an entity nor a schema names is that of the stored column, where rows are stored already.

    Raises:
        BadInput: an entity is not defined, or what is left out can't be told; says what to write. Feast infers the
            name of the time column too, from stored rows; here it is needed before there are any.
    """
    from feast.errors import RegistryInferenceFailure
    from feast.inference import update_feature_views_with_inferred_features_and_entities

    entities = list(entities)
    known = {entity.name: entity for entity in entities}
    for view in views:
        if unknown := [name for name in view.entities if name not in known]:
            raise BadInput(
                f"feature view {view.name} has the entity {', '.join(unknown)}, which no file of the feature repo "
                "defines at its top level",
                fix="Assign it to a variable there: Feast registers no other",
            )
        if view.batch_source is not None and not view.batch_source.timestamp_field:
            raise BadInput(
                f"the source {view.batch_source.name} of feature view {view.name} has no timestamp_field",
                fix="Name the column with the event time",
            )
        join_keys = [known[name].join_key for name in view.entities]
        stored = _StoredColumns(repo, join_keys)
        with suppress(RegistryInferenceFailure):  # says less than we do below
            update_feature_views_with_inferred_features_and_entities(stored, [view], entities, None)
        _refuse_incomplete(view, join_keys)


class _StoredColumns:
    """What Feast asks of a provider to infer columns."""

    def __init__(self, repo: Path, join_keys: list[str]) -> None:
        self._repo, self._join_keys = repo, join_keys

    def get_table_column_names_and_types_from_data_source(self, _: Any, source: Any) -> list[tuple[str, str]]:
        """The columns of the newest stored file; none where there is no file.

        A column that is mapped to a join key bears the key's name: Feast looks for that among the stored names, finds
        none, and registers the view without its key.
        """
        path = local_path(source, self._repo)
        files = parquet_in(path) if path else []
        if not files:
            return []
        columns = [(field.name, str(field.type)) for field in stored_columns(files[-1])]
        mapped = {old: new for old, new in (source.field_mapping or {}).items() if new in self._join_keys}
        return [(mapped.get(name, name), kind) for name, kind in columns]


def _refuse_incomplete(view: Any, join_keys: list[str]) -> None:
    columns = {column.name for column in view.entity_columns}
    if lacking := [key for key in join_keys if key not in columns]:
        raise BadInput(
            f"feature view {view.name} has no type for its join key {', '.join(lacking)}: neither the entity nor the "
            "schema names one, and no rows are stored that would tell",
            fix="Give its Entity a value_type, for example ValueType.INT64, or list the key in the view's schema",
        )
    if not view.features:
        raise BadInput(
            f"feature view {view.name} lists no features, and no rows are stored that would tell",
            fix="List them in its schema",
        )
