"""Routes that are asked a hundred times a second, with many parameters of which most are left out."""

from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams


class QuickRoute(APIRoute):
    """
    Reads the query of `principal: …, asked: Annotated[Model, Query()]` at once. Others stay as they are.

    FastAPI looks at the type of every member again at every request, which takes longer than to look up a
    page. It is still asked to describe the route, and to tell what is wrong with a question. Dependencies of
    an app or an inclusion are not called: what refuse_unknown refuses, the model has to forbid.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        slowly = super().get_route_handler()
        if set(signature(self.endpoint).parameters) != {"principal", "asked"} or self.dependencies:
            return slowly
        models = [one.field_info.annotation for one in self.dependant.query_params]
        if [_forbids_others(one) for one in models] != [True]:
            return slowly
        [model] = models
        check: Any = next(one.call for one in self.dependant.dependencies if one.name == "principal")
        read = _reader(model)

        async def quickly(request: Request) -> Response:
            try:
                asked = read(request.query_params)
            except ValidationError:
                return await slowly(request)
            answer: Response = await self.endpoint(principal=await check(request, None), asked=asked)
            return answer

        return quickly


def _forbids_others(model: Any) -> bool:
    return (
        isinstance(model, type)
        and issubclass(model, BaseModel)
        and model.model_config.get("extra") == "forbid"
    )


def _reader(model: Any) -> Callable[[QueryParams], BaseModel]:
    several = [name for name, one in model.model_fields.items() if _takes_several(one.annotation)]

    def read(query: QueryParams) -> BaseModel:
        given: dict[str, Any] = dict(query)
        given |= {name: query.getlist(name) for name in several if name in given}
        found: BaseModel = model.model_validate(given)
        return found

    return read


def _takes_several(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_takes_several, get_args(annotation)))
