"""Parameter structs to descriptions: one place where a setting's range, label and help are written."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_type_hints

import msgspec
from understudy_shared.protocol.description import ParamDescription


def setting(
    label: str, description: str, *, ge: float | None = None, le: float | None = None, unit: str = ""
) -> msgspec.Meta:
    """Annotation of a parameter: what the panel shows, and the range that is enforced."""
    return msgspec.Meta(title=label, description=description, ge=ge, le=le, extra={"unit": unit} if unit else None)


def describe(struct: type[msgspec.Struct]) -> tuple[ParamDescription, ...]:
    """The parameters of a method, read off its struct's annotations and defaults.

    Raises:
        TypeError: a field has no default or is of a kind that no panel can draw.
    """
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    hints = get_type_hints(struct)
    return tuple(_describe_field(field, hints[field.name]) for field in info.fields)


def _describe_field(field: msgspec.inspect.Field, hint: Any) -> ParamDescription:
    kind_info, meta = field.type, {}
    extra: dict = {}
    if isinstance(kind_info, msgspec.inspect.Metadata):
        meta, extra = kind_info.extra_json_schema or {}, kind_info.extra or {}
        kind_info = kind_info.type
    if field.default is msgspec.NODEFAULT:
        raise TypeError(f"parameter {field.name} needs a default")
    kind: Literal["int", "float", "bool", "text", "choice"]
    minimum = maximum = None
    choices: tuple[str, ...] = ()
    match kind_info:
        case msgspec.inspect.IntType(ge=low, le=high):
            kind, minimum, maximum = "int", low, high
        case msgspec.inspect.FloatType(ge=low, le=high):
            kind, minimum, maximum = "float", low, high
        case msgspec.inspect.BoolType():
            kind = "bool"
        case msgspec.inspect.StrType():
            kind = "text"
        case msgspec.inspect.LiteralType():  # whose values are sorted, not in the order of the struct
            kind, choices = "choice", tuple(str(v) for v in get_args(hint))
        case _:
            raise TypeError(f"parameter {field.name} is of a kind that no panel can draw")
    return ParamDescription(
        name=field.name,
        kind=kind,
        label=meta.get("title", field.name.replace("_", " ").capitalize()),
        help=meta.get("description", ""),
        default=field.default,
        minimum=minimum,
        maximum=maximum,
        unit=extra.get("unit", ""),
        choices=choices,
    )
