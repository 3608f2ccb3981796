/* Plain request heads, known for what they are in one look: proxy/server/plain.py, compiled.
 *
 * The grammar, the gist and the reasons are there; that module works without this one, and the same
 * tests hold both to it. Here: one pass over the bytes, which are read only between `at` and `end`,
 * and of which nothing is kept but copies. What is known is found without making a gist: keys are
 * the bytes of its members one after the other, as no member has a byte of what stands between.
 */

#include "../_fields.h"
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

#define FIXED 3 /* members of a gist before the watched fields: method, target, Host */
#define MOST_MEMBERS (FIXED + MOST_NAMES)

typedef enum { REFUSED, CONNECTION, BY_VALUE, BY_PRESENCE } Role;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Py_ssize_t longest;
    Py_ssize_t lines;
    Py_ssize_t members;
    Py_ssize_t name; /* the member that names the request, -1 for none */
    PyObject *known_attribute, *members_attribute;
    Names names; /* `more`: the member of the gist */
} Scanner;

/* Where the first byte stands that no value has: eight at once, then one by one. */
static const unsigned char *
end_of_value(const unsigned char *at, const unsigned char *end)
{
    static const uint64_t each = UINT64_MAX / 0xFF;
    for (; end - at >= 8; at += 8) {
        uint64_t word, is_del;
        memcpy(&word, at, sizeof word);
        is_del = word ^ each * 0x7F;
        if ((((word - each * ' ') & ~word) | ((is_del - each) & ~is_del)) & each * 0x80)
            break; /* a control, DEL or a tab is among them */
    }
    while (at < end && (classes[*at] & VALUE))
        at++;
    return at;
}

/* A member of a gist: bytes of the head, NULL for what is absent. */
typedef struct {
    const unsigned char *at;
    Py_ssize_t size;
} Span;

/* Set a member; 0 where it is there already: a field may come once. */
static int
put(Span *member, const unsigned char *from, const unsigned char *to)
{
    if (member->at != NULL)
        return 0;
    member->at = from;
    member->size = to - from;
    return 1;
}

/* Find the members; 0 where this is no plain head. */
static int
read_head(const Scanner *self, Span *gist, const unsigned char *at, const unsigned char *end)
{
    static const char version[] = " HTTP/1.1\r\n";
    const unsigned char *start = at;
    memset(gist, 0, (size_t)self->members * sizeof *gist);
    if (end - at > 5 && memcmp(at, "GET /", 5) == 0)
        at += 3;
    else if (end - at > 6 && memcmp(at, "HEAD /", 6) == 0)
        at += 4;
    else
        return 0;
    put(&gist[0], start, at);
    start = ++at;
    while (at < end && (classes[*at] & TARGET))
        at++;
    if (end - at < (Py_ssize_t)sizeof version - 1 || memcmp(at, version, sizeof version - 1) != 0)
        return 0;
    put(&gist[1], start, at);
    at += sizeof version - 1;

    for (Py_ssize_t lines = 0; end - at >= 2; lines++) {
        if (at[0] == '\r')
            return at[1] == '\n' && end - at == 2 && gist[FIXED - 1].at != NULL;
        if (lines == self->lines)
            return 0;
        const unsigned char *name = at;
        while (at < end && (classes[*at] & TCHAR))
            at++;
        if (at == name || at == end || *at != ':')
            return 0;
        const Name *special = find_name(&self->names, name, at - name);
        const unsigned char *value = ++at;
        at = end_of_value(at, end);
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return 0;
        if (special != NULL) {
            switch ((Role)special->role) {
            case REFUSED:
                return 0;
            case CONNECTION:
                if (!is_keep_alive(value, at))
                    return 0;
                break;
            case BY_VALUE:
                if (!put(&gist[special->more], value, at))
                    return 0;
                break;
            case BY_PRESENCE:
                if (!put(&gist[special->more], value, value))
                    return 0;
                break;
            }
        }
        at += 2;
    }
    return 0;
}

static PyObject *
bytes_of(const Span *member)
{
    if (member->at == NULL)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)member->at, member->size);
}

/* Find the members of a whole head; 0 where it is not plain, -1 with an exception set. */
static int
read_argument(const Scanner *self, Span *gist, PyObject *head)
{
    if (!PyBytes_Check(head)) {
        PyErr_SetString(PyExc_TypeError, "a scanner takes the bytes of one head");
        return -1;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(head);
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(head);
    return size <= self->longest && read_head(self, gist, data, data + size);
}

static PyObject *
scan(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    const Scanner *self = (const Scanner *)callable;
    Span gist[MOST_MEMBERS];
    if (PyVectorcall_NARGS(flags) != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords) != 0)) {
        PyErr_SetString(PyExc_TypeError, "a scanner takes the bytes of one head");
        return NULL;
    }
    int plain = read_argument(self, gist, arguments[0]);
    if (plain < 0)
        return NULL;
    if (!plain)
        Py_RETURN_NONE;
    PyObject *members = PyTuple_New(self->members);
    for (Py_ssize_t i = 0; members != NULL && i < self->members; i++) {
        PyObject *member = bytes_of(&gist[i]);
        if (member == NULL)
            Py_CLEAR(members);
        else
            PyTuple_SET_ITEM(members, i, member);
    }
    return members;
}

/* "GET /a host": neither a method nor a target has a space. */
static PyObject *
key_of_place(const Span *gist)
{
    Py_ssize_t size = FIXED - 1;
    for (int i = 0; i < FIXED; i++)
        size += gist[i].size;
    PyObject *key = PyBytes_FromStringAndSize(NULL, size);
    if (key == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(key);
    for (int i = 0; i < FIXED; i++) {
        if (i > 0)
            *to++ = ' ';
        memcpy(to, gist[i].at, (size_t)gist[i].size);
        to += gist[i].size;
    }
    return key;
}

/* A line feed behind each of these members, a carriage return for one that is absent. */
static PyObject *
key_among(const Span *gist, const unsigned char *members, Py_ssize_t count)
{
    Py_ssize_t size = count;
    for (Py_ssize_t i = 0; i < count; i++)
        size += gist[members[i]].size;
    PyObject *key = PyBytes_FromStringAndSize(NULL, size);
    if (key == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(key);
    for (Py_ssize_t i = 0; i < count; i++) {
        const Span *member = &gist[members[i]];
        if (member->size > 0)
            memcpy(to, member->at, (size_t)member->size);
        to += member->size;
        *to++ = member->at == NULL ? '\r' : '\n';
    }
    return key;
}

/* The key, if these are bytes that number members. */
static PyObject *
checked_key_among(const Scanner *self, const Span *gist, PyObject *members)
{
    if (!PyBytes_Check(members)) {
        PyErr_SetString(PyExc_TypeError, "members are numbered by bytes");
        return NULL;
    }
    const unsigned char *numbers = (const unsigned char *)PyBytes_AS_STRING(members);
    Py_ssize_t count = PyBytes_GET_SIZE(members);
    for (Py_ssize_t i = 0; i < count; i++)
        if (numbers[i] >= self->members) {
            PyErr_SetString(PyExc_IndexError, "a gist has no such member");
            return NULL;
        }
    return key_among(gist, numbers, count);
}

/* What a place knows, a new reference; NULL with no exception set for nothing. */
static PyObject *
known_at(const Scanner *self, const Span *gist, PyObject *place)
{
    PyObject *known = NULL, *key = NULL;
    PyObject *members = PyObject_GetAttr(place, self->members_attribute);
    PyObject *answers = PyObject_GetAttr(place, self->known_attribute);
    if (members != NULL && answers != NULL)
        key = checked_key_among(self, gist, members);
    if (key != NULL) {
        if (PyDict_Check(answers))
            known = Py_XNewRef(PyDict_GetItemWithError(answers, key));
        else
            PyErr_SetString(PyExc_TypeError, "what is known is in a dictionary");
    }
    Py_XDECREF(key);
    Py_XDECREF(answers);
    Py_XDECREF(members);
    return known;
}

static PyObject *
find_known(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    const Scanner *self = (const Scanner *)object;
    Span gist[MOST_MEMBERS];
    if (count != 2 || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "find takes the bytes of one head, and a dictionary");
        return NULL;
    }
    int plain = read_argument(self, gist, arguments[0]);
    if (plain < 0)
        return NULL;
    if (!plain)
        Py_RETURN_NONE;
    PyObject *key = key_of_place(gist);
    if (key == NULL)
        return NULL;
    PyObject *place = Py_XNewRef(PyDict_GetItemWithError(arguments[1], key));
    Py_DECREF(key);
    PyObject *known = place == NULL ? NULL : known_at(self, gist, place);
    Py_XDECREF(place);
    if (known == NULL) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    PyObject *name = self->name < 0 ? Py_NewRef(Py_None) : bytes_of(&gist[self->name]);
    PyObject *found = name == NULL ? NULL : PyTuple_New(2);
    if (found == NULL) {
        Py_XDECREF(name);
        Py_DECREF(known);
        return NULL;
    }
    PyTuple_SET_ITEM(found, 0, known);
    PyTuple_SET_ITEM(found, 1, name);
    return found;
}

/* The members of a gist that `scan` made; -1 with an exception set where it did not. */
static int
read_gist(const Scanner *self, Span *gist, PyObject *tuple)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != self->members) {
        PyErr_SetString(PyExc_TypeError, "this is no gist of this scanner's");
        return -1;
    }
    memset(gist, 0, (size_t)self->members * sizeof *gist);
    for (Py_ssize_t i = 0; i < self->members; i++) {
        PyObject *member = PyTuple_GET_ITEM(tuple, i);
        if (PyBytes_Check(member)) {
            gist[i].at = (const unsigned char *)PyBytes_AS_STRING(member);
            gist[i].size = PyBytes_GET_SIZE(member);
        }
        else if (member != Py_None || i < FIXED) {
            PyErr_SetString(PyExc_TypeError, "this is no gist of this scanner's");
            return -1;
        }
    }
    return 0;
}

static PyObject *
place_key(PyObject *object, PyObject *tuple)
{
    Span gist[MOST_MEMBERS];
    return read_gist((const Scanner *)object, gist, tuple) < 0 ? NULL : key_of_place(gist);
}

static PyObject *
known_key(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    const Scanner *self = (const Scanner *)object;
    Span gist[MOST_MEMBERS];
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "known_key takes a gist and the numbers of members");
        return NULL;
    }
    if (read_gist(self, gist, arguments[0]) < 0)
        return NULL;
    return checked_key_among(self, gist, arguments[1]);
}

static int
add_all(Scanner *self, PyObject *names, Role role)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t member = role == REFUSED ? 0 : self->members++;
        if (add_name(&self->names, PyTuple_GET_ITEM(names, i), role, member) == NULL)
            return -1;
    }
    return 0;
}

static int
fill(Scanner *self, PyObject *refused, PyObject *present, PyObject *values)
{
    no_names(&self->names);
    self->members = FIXED;
    self->known_attribute = PyUnicode_InternFromString("known");
    self->members_attribute = PyUnicode_InternFromString("members");
    if (self->known_attribute == NULL || self->members_attribute == NULL
        || add_named(&self->names, "host", BY_VALUE, FIXED - 1) == NULL
        || add_named(&self->names, "connection", CONNECTION, 0) == NULL
        || add_all(self, refused, REFUSED) < 0 || add_all(self, present, BY_PRESENCE) < 0)
        return -1;
    return add_all(self, values, BY_VALUE);
}

static PyObject *
create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"refused", "present", "values", "longest", "lines", "name", NULL};
    PyObject *refused, *present, *values;
    Py_ssize_t longest, lines, member;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "$O!O!O!nnn:Scanner", names,
                                     &PyTuple_Type, &refused, &PyTuple_Type, &present,
                                     &PyTuple_Type, &values, &longest, &lines, &member))
        return NULL;
    Scanner *self = (Scanner *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = scan;
    self->longest = longest;
    self->lines = lines;
    self->name = member;
    if (fill(self, refused, present, values) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (member >= self->members) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_ValueError, "a gist has no such member");
        return NULL;
    }
    return (PyObject *)self;
}

static void
destroy(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->known_attribute);
    Py_XDECREF(self->members_attribute);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"find", (PyCFunction)(void (*)(void))find_known, METH_FASTCALL, "See proxy.server.plain.Scan."},
    {"place_key", place_key, METH_O, "See proxy.server.plain.Scan."},
    {"known_key", (PyCFunction)(void (*)(void))known_key, METH_FASTCALL,
     "See proxy.server.plain.Scan."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Scanner, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Scanner(*, refused, present, values, longest, lines, name): from one plain head to "
                "its gist, else None; see proxy.server.plain."},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "proxy.server._plain.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static int
execute(PyObject *module)
{
    fill_tables("-"); /* less what disguises a field: see plain */
    return add_type(module, &spec);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_plain",
    .m_doc = "See proxy.server.plain.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__plain(void)
{
    return PyModuleDef_Init(&definition);
}
