// What runs on every page.
import * as dialog from "./dialog.js";
import * as forms from "./forms.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as settings from "./settings.js";
import * as time from "./time.js";

time.setUp();
settings.setUp(() => time.show());
dialog.setUp();
forms.setUp();
keys.setUp();
live.setUp();
