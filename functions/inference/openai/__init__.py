"""Bodies of OpenAI's API: requests as pydantic models, responses as builders."""
