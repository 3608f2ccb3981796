"""What every mapping of the YAML has in common: its keys are known, and it never changes."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from proxy.settings.scalars import EMPTY


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    empty_is_absent: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _settle_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if cls.empty_is_absent:
            return {key: value for key, value in data.items() if value is not None}
        return {key: EMPTY if value is None else value for key, value in data.items()}
