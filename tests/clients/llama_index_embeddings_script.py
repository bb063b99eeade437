"""How many vectors LlamaIndex gets, as one JSON object."""

import json
import os

from llama_index.embeddings.openai_like import OpenAILikeEmbedding

model = OpenAILikeEmbedding(
    model_name="all-minilm-l6-v2", api_base=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]
)
print(json.dumps({"vectors": len(model.get_text_embedding_batch(["tea", "cups"]))}))
