"""Rules of chats: turns, limits and rendered Markdown."""
