"""Read the settings from variables, ``.env`` and a TOML file, and report all their problems at once."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config.dotenv_file import checked_dotenv_file
from config.error import ConfigError
from config.settings import PREFIX, Settings
from config.settings_problem import invalid_values, read_toml, unknown_in_file, unknown_variables


def load_settings(config_file: Path | None = None) -> Settings:
    """Read the settings; raise ConfigError that lists every problem with its name, what was expected and found."""
    values = read_toml(config_file) if config_file is not None else {}
    dotenv_file = checked_dotenv_file(Path(".env"))

    class SettingsWithFiles(Settings):
        model_config = SettingsConfigDict(env_file=dotenv_file)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, dotenv_settings, InitSettingsSource(settings_cls, values)

    problems = unknown_variables(SettingsWithFiles, PREFIX) + unknown_in_file(Settings, values)
    try:
        settings = SettingsWithFiles()
    except ValidationError as error:
        problems += invalid_values(Settings, error, PREFIX)
    except SettingsError as error:
        problems.append(str(error))
    else:
        if not problems:
            return settings
    # Without a cause: the errors above hold the values found, secrets too.
    raise ConfigError("the settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems))
