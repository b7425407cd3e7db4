"""Every kind of rule that a plan may hold.

Belongs here: the list. A kind that is not in it can be written into no plan.
"""

from __future__ import annotations

from typing import get_args

from pipeline.sandbox.faults import rules

AnyRule = (
    rules.Drop
    | rules.Delay
    | rules.Status
    | rules.Dribble
    | rules.Truncate
    | rules.Skew
    | rules.BatchError
    | rules.BatchNeverEnds
    | rules.BatchSlow
    | rules.BatchHidden
    | rules.BatchExpires
    | rules.WebhookLost
    | rules.WebhookLate
    | rules.WebhookRepeated
    | rules.WebhookReordered
    | rules.WebhookEarly
    | rules.ItemError
    | rules.ItemInvalid
    | rules.Set
    | rules.WrongTotal
    | rules.Padding
    | rules.ReorderedItems
    | rules.UnknownFields
    | rules.ExtraItems
    | rules.SetItems
    | rules.NullItems
    | rules.MissingItems
    | rules.DuplicateItems
    | rules.LoneSurrogate
    | rules.BadUtf8
)
FAULTS = tuple(sorted(str(kind.__struct_config__.tag) for kind in get_args(AnyRule)))
