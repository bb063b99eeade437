"""HTTP forms of chats, and the streamed answer to a message."""
