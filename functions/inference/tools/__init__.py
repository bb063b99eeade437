"""Tool calls: in the prompt, in the grammar, and in the generated text."""
