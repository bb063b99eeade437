"""One table or provider a file, each translating its SDK's errors into the domain's."""
