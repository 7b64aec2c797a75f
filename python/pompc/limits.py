"""Bounds of waits, retries and messages: seconds, unless the name says otherwise."""

PLAN_SECONDS = 10.0       # after which a plan is requested again, from another planner where there is one
MAX_PLAN_SECONDS = 120.0  # to which that grows with planners that are slow
QUIET_SECONDS = 5.0       # of waiting for a plan that nobody is told of
BAR_SECONDS = 30.0        # until a planner that did not answer is tried again, while there are others
AWAY_SECONDS = 2.0        # likewise, of one that could not be reached
FULL_SECONDS = 5.0        # at most, until one that said it was full is asked again, whatever it said
CALL_SECONDS = 5.0        # of the calls to the learner
READ_SECONDS = 60.0       # of a call that reads rows or windows
LEAVE_SECONDS = 2.0       # of the last call to the learner
STREAM_SECONDS = 600.0    # that a stream to a shard lasts at most; one half as old is reopened before the next chunk
ACK_SECONDS = 60.0        # without a word from a shard that does not say it is holding rows back
RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 10.0    # of errors that do not pass by themselves
TRACK_TRIES = 30          # of a run's learner in a row, one each time a tracker looks, that it does not answer
SINK_TRIES = 5            # of numbers that a tracker's package does not take, RETRY_SECONDS apart
VAIN_LEASES = 3           # in a row, after which it is no use to ask for another one
LOG_SECONDS = 30.0        # between two lines that say the same
CHUNK_SECONDS = 0.05      # that rows wait for others of their chunk, and for the step that ends after it
END_SECONDS = 20.0        # that the environments get to return once the process is told to
STUCK_SECONDS = 60.0      # after which log and status say that an environment does not return
EXIT_SECONDS = 10.0       # that the environments' own code gets to end
EPISODE_TRIES = 3         # of an evaluation's episode that cannot be played to its end
RESET_TRIES = 20          # of an environment whose first observation cannot be used
SLOW_SECONDS = 0.1        # of a call of an environment that is remembered
MAX_ENVIRONMENTS = 4096   # in one process
# kMaxPlanQueries in common/rpc/wire.h.
MAX_PLAN_QUERIES = 64
# kMaxMagnitude in common/values/number_check.h: rows with larger numbers are refused.
MAX_MAGNITUDE = 1e18
# kMaxReplyBytes, kMaxRequestBytes and kFullRequestBytes in common/rpc/message_size.h.
MAX_REPLY_BYTES = 64 << 20
MAX_REQUEST_BYTES = 2 << 20
FULL_REQUEST_BYTES = 1 << 20
