/* What both readers of heads know of field lines: classes of bytes, and names that are special.
 *
 * Each module that includes this has tables of its own.
 */

#ifndef WARMFRONT_FIELDS_H
#define WARMFRONT_FIELDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#define MOST_NAMES 128  /* special names of one reader */
#define LONGEST_NAME 64 /* bytes of a special name; longer ones are none */

enum { TCHAR = 1, VALUE = 2, TARGET = 4, DIGIT = 8 };

static unsigned char classes[256];
static unsigned char lower[256];

/* Args: what names have besides letters and digits. */
static void
fill_tables(const char *others)
{
    for (int c = 0; c < 256; c++) {
        int digit = c >= '0' && c <= '9';
        int capital = c >= 'A' && c <= 'Z';
        int small = c >= 'a' && c <= 'z';
        lower[c] = (unsigned char)(capital ? c + ('a' - 'A') : c);
        classes[c] = (unsigned char)(digit ? DIGIT : 0);
        if (digit || capital || small || (c != 0 && strchr(others, c) != NULL))
            classes[c] |= TCHAR;
        if (c == '\t' || (c >= ' ' && c <= '~') || c >= 0x80)
            classes[c] |= VALUE;
        if (((c >= '!' && c <= '~') || c >= 0x80) && c != '#')
            classes[c] |= TARGET;
    }
}

typedef struct {
    unsigned char text[LONGEST_NAME]; /* in lower case */
    unsigned char role;               /* what its reader does about it */
    signed char next;                 /* another name of the same length, -1 for none */
    short more;                       /* what else its reader knows of it */
} Name;

typedef struct {
    signed char first[LONGEST_NAME + 1]; /* by length, -1 for none */
    int count;
    Name all[MOST_NAMES];
} Names;

static void
no_names(Names *names)
{
    memset(names->first, -1, sizeof names->first);
    names->count = 0;
}

/* The special name that these bytes are in any case, or NULL. */
static inline const Name *
find_name(const Names *names, const unsigned char *text, Py_ssize_t length)
{
    if (length > LONGEST_NAME)
        return NULL;
    for (int i = names->first[length]; i >= 0; i = names->all[i].next) {
        const Name *name = &names->all[i];
        Py_ssize_t same = 0;
        while (same < length && lower[text[same]] == name->text[same])
            same++;
        if (same == length)
            return name;
    }
    return NULL;
}

/* One more, found before those that are there; NULL with an exception set where it cannot be one. */
static Name *
add_name(Names *names, PyObject *text, int role, Py_ssize_t more)
{
    if (!PyBytes_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "names are bytes");
        return NULL;
    }
    Py_ssize_t length = PyBytes_GET_SIZE(text);
    if (length == 0 || length > LONGEST_NAME || names->count == MOST_NAMES) {
        PyErr_SetString(PyExc_ValueError, "an empty or long name, or too many of them");
        return NULL;
    }
    Name *name = &names->all[names->count];
    memcpy(name->text, PyBytes_AS_STRING(text), (size_t)length);
    name->role = (unsigned char)role;
    name->more = (short)more;
    name->next = names->first[length];
    names->first[length] = (signed char)names->count++;
    return name;
}

/* The same for a name that is no object yet. */
static Name *
add_named(Names *names, const char *text, int role, Py_ssize_t more)
{
    PyObject *bytes = PyBytes_FromString(text);
    Name *name = bytes == NULL ? NULL : add_name(names, bytes, role, more);
    Py_XDECREF(bytes);
    return name;
}

static inline int
is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

/* Whether a value, with white space around it or without, says no more than this. */
static inline int
is_keep_alive(const unsigned char *at, const unsigned char *end)
{
    static const char wanted[] = "keep-alive";
    while (at < end && is_blank(*at))
        at++;
    while (at < end && is_blank(end[-1]))
        end--;
    if (end - at != (Py_ssize_t)sizeof wanted - 1)
        return 0;
    for (size_t i = 0; i < sizeof wanted - 1; i++)
        if (lower[at[i]] != (unsigned char)wanted[i])
            return 0;
    return 1;
}

/* Make a module's only type; for its Py_mod_exec. */
static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int done = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return done;
}

#endif
