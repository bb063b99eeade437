"""llama.cpp behind the engine's protocols: library, vocabulary, sampler, embedder."""
