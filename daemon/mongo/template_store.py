"""The e-mail templates of admins in MongoDB, ``{name, language?, subject, text, html?}``; a name may be the id."""

from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from actions.template import Template, parse_language, parse_template
from config.error import PermanentActionError, TransientActionError
from config.found import found

LARGEST_BYTES: Final = 2_000_000  # of a template's document: more than its sources may have in all
MOST_LANGUAGES: Final = 100

_FITS: Final = {"$lte": [{"$bsonSize": "$$ROOT"}, LARGEST_BYTES]}
_SHORT_LANGUAGE: Final = {"$cond": [{"$lte": [{"$strLenBytes": "$language"}, 100]}, "$language", "$$REMOVE"]}
_FIELDS: Final[dict[str, Any]] = {
    **{name: {"$cond": [_FITS, f"${name}", "$$REMOVE"]} for name in ("subject", "text", "html")},
    "language": {"$cond": [{"$eq": [{"$type": "$language"}, "string"]}, _SHORT_LANGUAGE, "$$REMOVE"]},
    "bytes": {"$bsonSize": "$$ROOT"},
}


class MongoTemplates:
    """Looks templates up in a collection, anew for every e-mail: an edit takes effect at the next one."""

    def __init__(self, templates: AsyncCollection[dict[str, Any]]) -> None:
        self._templates = templates

    async def find(self, name: str, language: str | None) -> Template | None:
        """Return the template of that name in exactly that language (None: in none), or None.

        Raise TransientActionError when MongoDB does not answer, PermanentActionError when the document is wrong.
        """
        try:
            cursor = self._templates.find({"$or": [{"_id": name}, {"name": name}]}, _FIELDS)
            documents = await cursor.limit(MOST_LANGUAGES).to_list()
        except PyMongoError as error:
            raise TransientActionError(f"the e-mail templates cannot be read: {type(error).__name__}") from error
        for document in documents:
            if parse_language(document.get("language")) != language:
                continue
            if document["bytes"] > LARGEST_BYTES:
                problem = f"expected at most {LARGEST_BYTES:,} bytes, found {document['bytes']:,}"
                raise PermanentActionError(f"e-mail template {found(name)}: source limit passed: {problem}")
            return parse_template(name, document)
        return None
