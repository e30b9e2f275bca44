"""From labels and features to a registered, validated champion."""
