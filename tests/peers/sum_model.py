"""A model for MLServer: the sum and the sizes of its inputs. It runs in MLServer's own environment."""

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class SumModel(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        numbers = [NumpyCodec.decode_input(one) for one in payload.inputs]
        if len({one.size for one in numbers}) > 1:
            raise InferenceError("the inputs differ in size")
        total = numpy.array([sum(float(one.sum()) for one in numbers)])
        output = NumpyCodec.encode_output("sum", total)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
