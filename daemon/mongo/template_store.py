"""The e-mail templates of admins in MongoDB, ``{name, language?, subject, text, html?}``; a name may be the id."""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from actions.template import Template, parse_language, parse_template
from config.error import TransientActionError


class MongoTemplates:
    """Looks templates up in a collection, anew for every e-mail: an edit takes effect at the next one."""

    def __init__(self, templates: AsyncCollection[dict[str, Any]]) -> None:
        self._templates = templates

    async def find(self, name: str, language: str | None) -> Template | None:
        """Return the template of that name in exactly that language (None: in none), or None.

        Raise TransientActionError when MongoDB does not answer, PermanentActionError when the document is wrong.
        """
        try:
            found = await self._templates.find({"$or": [{"_id": name}, {"name": name}]}).to_list()
        except PyMongoError as error:
            raise TransientActionError(f"the e-mail templates cannot be read: {type(error).__name__}") from error
        for document in found:
            if parse_language(document.get("language")) == language:
                return parse_template(name, document)
        return None
