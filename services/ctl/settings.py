"""What the command line is told by the environment beside its options: TLS files and the log level."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from services.shared.runtime.settings import ServiceSettings


class CtlSettings(ServiceSettings):
    """Settings of the command line: the common ones, as `PRIMACY_CTL_TLS_CA_FILE` and so on."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="PRIMACY_CTL_")
